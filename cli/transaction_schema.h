// The JSON Schema of the "transaction" in a report.
//
// Pure, no I/O.
#ifndef CLI_TRANSACTION_SCHEMA_H_
#define CLI_TRANSACTION_SCHEMA_H_

#include "cli/json_values.h"

namespace qcow2::cli::schema {

// Refers to "guest_range" of the "$defs".
Json TransactionSchema();

}  // namespace qcow2::cli::schema

#endif  // CLI_TRANSACTION_SCHEMA_H_
