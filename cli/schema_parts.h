// Pieces that the JSON Schema of the report is put together from.
//
// Pure, no I/O.
#ifndef CLI_SCHEMA_PARTS_H_
#define CLI_SCHEMA_PARTS_H_

#include <initializer_list>
#include <utility>

#include "cli/json_values.h"

namespace qcow2::cli::schema {

enum class Presence { kAlways, kWhenKnown };

struct Property {
  const char* key;
  Json schema;
  Presence presence = Presence::kAlways;
};

// An object with these keys and no others.
Json Object(std::initializer_list<Property> properties);

Json Described(Json schema, const char* description);
Json Const(Json value);
Json Text();
Json Text(const char* description);
Json Flag();
// A number that is an unsigned integer.
Json Number();
Json Number(const char* description);
Json Seconds();
Json ArrayOf(Json items);
// One of the "$defs".
Json Reference(const char* name);

// The names of the enumerators from 0 to `last`.
template <typename Enum>
Json NamesUpTo(Enum last) {
  Json names = Json::array();
  for (int i = 0; i <= static_cast<int>(last); ++i) {
    names.push_back(NameOf(static_cast<Enum>(i)));
  }
  return {{"enum", std::move(names)}};
}

Json GuestRangeSchema();
// The code of a repair action.
Json RepairActionSchema();

}  // namespace qcow2::cli::schema

#endif  // CLI_SCHEMA_PARTS_H_
