// The "transaction" of a JSON report: what a repair, a recovery or an undo
// planned and did.
//
// Pure, no I/O.
#ifndef CLI_TRANSACTION_JSON_H_
#define CLI_TRANSACTION_JSON_H_

#include "cli/image_report.h"
#include "cli/json_values.h"

namespace qcow2::cli {

// `report` has a transaction.
Json TransactionJson(const ImageReport& report);

}  // namespace qcow2::cli

#endif  // CLI_TRANSACTION_JSON_H_
