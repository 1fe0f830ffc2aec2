#include "cli/fleet/report_reader.h"

#include <string_view>
#include <utility>

#include "cli/fleet/input_file.h"
#include "cli/json_printer.h"
#include "engine/status_macros.h"

namespace qcow2::cli {
namespace {

using Take = std::function<void(Json report)>;

bool IsReport(const Json& json) {
  if (!json.is_object()) return false;
  const auto version = json.find("schema_version");
  if (version == json.end() || *version != kSchemaVersion) return false;
  if (json.contains("summary")) return json["summary"].is_object();
  const auto image = json.find("image");
  return image != json.end() && image->is_object() && image->contains("path") &&
         (*image)["path"].is_string();
}

absl::Status NotAReport(const std::string& path, const std::string& where) {
  return absl::InvalidArgumentError("'" + path + "' is no report" + where);
}

absl::StatusOr<bool> ReadLines(const std::string& path, std::string_view text,
                               const Take& take) {
  for (uint64_t number = 1; !text.empty(); ++number) {
    const size_t end = text.find('\n');
    if (end == std::string_view::npos) return false;
    Json json = ParseJson(text.substr(0, end));
    if (!IsReport(json)) {
      return NotAReport(path, ": line " + std::to_string(number));
    }
    take(std::move(json));
    text.remove_prefix(end + 1);
  }
  return true;
}

absl::StatusOr<bool> ReadDocument(const std::string& path,
                                  std::string_view text, const Take& take) {
  Json document = ParseJson(text);
  if (document.is_object()) document = Json::array({std::move(document)});
  if (!document.is_array()) return NotAReport(path, "");
  for (Json& json : document) {
    if (!IsReport(json)) return NotAReport(path, " of every one of its parts");
    take(std::move(json));
  }
  return true;
}

}  // namespace

absl::StatusOr<bool> ReadReports(const std::string& path, const Take& take) {
  ASSIGN_OR_RETURN(const std::string text, ReadInput(path, kMaxReportBytes));
  const std::string_view first_line =
      std::string_view(text).substr(0, text.find('\n'));
  return ParseJson(first_line).is_object() ? ReadLines(path, text, take)
                                           : ReadDocument(path, text, take);
}

}  // namespace qcow2::cli
