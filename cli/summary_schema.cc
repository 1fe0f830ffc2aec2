#include "cli/summary_schema.h"

#include <string>

#include "cli/fleet/summary.h"
#include "cli/schema_parts.h"

namespace qcow2::cli::schema {
namespace {

// The code of several images: any mask but that of wrong options.
Json ExitCodeSchema(const char* description) {
  return Described({{"type", "integer"}, {"minimum", 0}, {"maximum", 63}},
                   description);
}

Json ImagesSchema() {
  return Object({
      {"found", Number()},
      {"checked", Number("by this run")},
      {"earlier", Number("by earlier runs of the same round")},
      {"left", Number("for later runs")},
      {"other_names", Number("hard links to images that were found")},
      {"doubtful", Number("files that look like images but are none")},
  });
}

Json ByStatusSchema() {
  Json schema = {{"type", "object"},
                 {"additionalProperties", false},
                 {"required", Json::array()}};
  for (int i = 0; i <= static_cast<int>(ImageStatus::kError); ++i) {
    const std::string name(NameOf(static_cast<ImageStatus>(i)));
    schema["properties"][name] = Number();
    schema["required"].push_back(name);
  }
  return schema;
}

Json TotalsSchema() {
  return Object({
      {"corruptions", Number()},
      {"leaks", Number("clusters")},
      {"leaked_bytes", Number()},
      {"warnings", Number()},
      {"suspect_orphans", Number("clusters")},
      {"unreadable_bytes", Number()},
  });
}

Json DamagedSchema() {
  return Object({
      {"path", Text()},
      {"status", NamesUpTo(ImageStatus::kError)},
      {"exit_code", ExitCodeSchema("of this image alone")},
      {"corruptions", Number()},
      {"leaks", Number()},
      {"overlays", Number("images found that lie on this one")},
  });
}

Json FleetChangeSchema() {
  return Object({
      {"images", Number("in which something is new or gone")},
      {"new_findings", Number()},
      {"new_corruptions", Number("entries or clusters")},
      {"new_leaks", Number("clusters")},
      {"gone_findings", Number()},
      {"missing",
       Described(ArrayOf(Text()), "images that are not there any more")},
      {"missing_omitted", Number("beyond those listed")},
  });
}

}  // namespace

Json SummarySchema() {
  return Object({
      {"end", NamesUpTo(FleetEnd::kCancelled)},
      {"exit_code", ExitCodeSchema("of the run")},
      {"images", ImagesSchema()},
      {"by_status", Described(ByStatusSchema(), "of those checked")},
      {"counts", TotalsSchema()},
      {"damaged", Described(ArrayOf(DamagedSchema()), "the worst first")},
      {"damaged_omitted", Number("beyond those listed")},
      {"change", Described(FleetChangeSchema(), "since the baseline"),
       Presence::kWhenKnown},
      {"seconds", Seconds()},
      {"errors",
       Described(ArrayOf(Text()), "what kept images from being found")},
  });
}

}  // namespace qcow2::cli::schema
