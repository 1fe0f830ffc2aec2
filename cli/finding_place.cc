#include "cli/finding_place.h"

#include <cinttypes>
#include <cstdio>
#include <optional>

#include "checker/problems.h"
#include "cli/stable_hash.h"

namespace qcow2::cli {
namespace {

using checker::Finding;

constexpr std::string_view kHostCluster = "host cluster";

std::string KindOf(std::string_view code, std::string_view structure,
                   const std::optional<uint64_t>& table_offset,
                   std::string_view field, std::string_view snapshot) {
  std::string kind(code);
  kind.append("\n").append(structure).append("\n");
  if (table_offset) kind += std::to_string(*table_offset);
  kind.append("\n").append(field).append("\n").append(snapshot);
  return kind;
}

}  // namespace

std::string AsInJson(std::string_view text) {
  return Json::parse(Json(std::string(text))
                         .dump(-1, ' ', false, Json::error_handler_t::replace))
      .get<std::string>();
}

bool IsWholeInJson(std::string_view text) {
  return text.find("\xef\xbf\xbd") == std::string_view::npos;
}

FindingPlace PlaceOf(const Finding& finding) {
  const checker::Location& location = finding.location;
  FindingPlace place;
  place.kind = KindOf(checker::RowOf(finding.problem).code,
                      NameOf(location.structure), location.table_offset,
                      AsInJson(location.field), AsInJson(location.snapshot));
  place.count = finding.count;
  if (location.structure == checker::Structure::kHostCluster && finding.host) {
    place.first = finding.host->first_cluster;
  } else if (location.index) {
    place.first = *location.index;
  } else {
    place.count = 1;
  }
  return place;
}

FindingPlace PlaceOf(const Json& json) {
  const Json location = json.value("location", Json::object());
  const Json host = json.value("host", Json::object());
  const std::string structure = TextAt(location, "structure");
  FindingPlace place;
  place.kind = KindOf(TextAt(json, "code"), structure,
                      FindNumber(location, "table_offset"),
                      TextAt(location, "field"), TextAt(location, "snapshot"));
  place.count = FindNumber(json, "count").value_or(1);
  const std::optional<uint64_t> index = FindNumber(location, "index");
  const std::optional<uint64_t> cluster = FindNumber(host, "first_cluster");
  if (structure == kHostCluster && cluster) {
    place.first = *cluster;
  } else if (index) {
    place.first = *index;
  } else {
    place.count = 1;
  }
  return place;
}

std::string Fingerprint(const FindingPlace& place) {
  char text[17];
  std::snprintf(text, sizeof text, "%016" PRIx64,
                StableHash(place.kind + "\n" + std::to_string(place.first)));
  return text;
}

}  // namespace qcow2::cli
