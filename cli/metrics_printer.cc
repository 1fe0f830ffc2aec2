#include "cli/metrics_printer.h"

#include <cstddef>
#include <cstdio>
#include <string_view>
#include <unordered_map>

#include "checker/printable.h"
#include "cli/exit_code.h"

namespace qcow2::cli {
namespace {

// A metric with one number an image.
struct Metric {
  std::string_view name;
  std::string_view help;
  uint64_t (*value)(const ImageMetrics&);
};

constexpr Metric kMetrics[] = {
    {"qcow2_fsck_corruptions", "Corrupt entries or clusters in the image.",
     [](const ImageMetrics& image) { return image.counts.corruptions; }},
    {"qcow2_fsck_leaks", "Leaked clusters in the image.",
     [](const ImageMetrics& image) { return image.counts.leaks; }},
    {"qcow2_fsck_warnings", "Warnings given.",
     [](const ImageMetrics& image) { return image.counts.warnings; }},
    {"qcow2_fsck_suspect_orphans",
     "Leaked clusters that may be what is left of guest data.",
     [](const ImageMetrics& image) { return image.counts.suspect_orphans; }},
    {"qcow2_fsck_fixed", "Problems mended by this run.",
     [](const ImageMetrics& image) { return image.fixed; }},
    {"qcow2_fsck_unreadable_bytes", "Bytes of metadata that cannot be read.",
     [](const ImageMetrics& image) { return image.counts.unreadable_bytes; }},
    {"qcow2_fsck_exit_code", "Exit code of the check (see the manual page).",
     [](const ImageMetrics& image) -> uint64_t {
       return static_cast<uint64_t>(image.exit_code);
     }},
    {"qcow2_fsck_virtual_size_bytes", "Size of the virtual disk.",
     [](const ImageMetrics& image) { return image.virtual_size_bytes; }},
    {"qcow2_fsck_file_size_bytes", "Length of the image file.",
     [](const ImageMetrics& image) { return image.file_size_bytes; }},
    {"qcow2_fsck_metadata_read_bytes", "Metadata read by the check.",
     [](const ImageMetrics& image) { return image.metadata_bytes; }},
};

// A label value: printable, with the three characters escaped that the format
// wants escaped. The backslashes of Printable are escaped with the rest.
std::string LabelValue(std::string_view text) {
  std::string out;
  for (const char c : checker::Printable(text)) {
    if (c == '\\' || c == '"') out += '\\';
    out += c;
  }
  return out;
}

std::string Header(std::string_view name, std::string_view help) {
  std::string text = "# HELP ";
  text.append(name).append(" ").append(help).append("\n# TYPE ");
  return text.append(name).append(" gauge\n");
}

// The start of a sample up to the labels that follow the image's.
std::string Sample(std::string_view name, const ImageMetrics& image) {
  std::string text(name);
  return text.append("{image=\"").append(LabelValue(image.path)).append("\"");
}

std::string StatusSamples(const ImageMetrics& image) {
  std::string text;
  for (int i = 0; i <= static_cast<int>(ImageStatus::kError); ++i) {
    const auto status = static_cast<ImageStatus>(i);
    text.append(Sample("qcow2_fsck_status", image)).append(",status=\"");
    text.append(NameOf(status)).append("\"} ");
    text.append(status == image.status ? "1\n" : "0\n");
  }
  return text;
}

std::string DurationSample(const ImageMetrics& image) {
  char value[40];
  std::snprintf(value, sizeof value, "%.6f", image.seconds);
  return Sample("qcow2_fsck_check_duration_seconds", image) + "} " + value +
         "\n";
}

// The same series twice in a file makes the collector drop the whole file.
std::vector<ImageMetrics> LastOfEachPath(
    const std::vector<ImageMetrics>& images) {
  std::vector<ImageMetrics> kept;
  std::unordered_map<std::string_view, size_t> index_of;
  for (const ImageMetrics& image : images) {
    const auto [found, added] = index_of.emplace(image.path, kept.size());
    if (added) {
      kept.push_back(image);
    } else {
      kept[found->second] = image;
    }
  }
  return kept;
}

}  // namespace

ImageMetrics MetricsOf(const ImageReport& report) {
  const checker::CheckReport& now = Now(report);
  return {.path = now.image.path,
          .status = StatusOf(report),
          // Of the image as it is, whatever the run is compared with.
          .exit_code = report.change.has_value() ? ExitCodeOf(report.found)
                                                 : ExitCodeOf(report),
          .counts = now.counts,
          .fixed = Mended(report) ? report.transaction->fixed : 0,
          .virtual_size_bytes = now.image.virtual_size_bytes,
          .file_size_bytes = now.image.file_size_bytes,
          .metadata_bytes = report.found.statistics.metadata_bytes,
          .seconds = report.found.statistics.seconds};
}

std::string MetricsText(const std::vector<ImageMetrics>& images,
                        int64_t finished) {
  const std::vector<ImageMetrics> kept = LastOfEachPath(images);
  std::string text = Header("qcow2_fsck_status",
                            "Result of the check: 1 for the status it has.");
  for (const ImageMetrics& image : kept) text += StatusSamples(image);
  for (const Metric& metric : kMetrics) {
    text += Header(metric.name, metric.help);
    for (const ImageMetrics& image : kept) {
      text.append(Sample(metric.name, image)).append("} ");
      text.append(std::to_string(metric.value(image))).append("\n");
    }
  }
  text += Header("qcow2_fsck_check_duration_seconds", "Time the check took.");
  for (const ImageMetrics& image : kept) text += DurationSample(image);
  text += Header("qcow2_fsck_last_run_timestamp_seconds",
                 "When the run ended, in seconds since 1970.");
  text += "qcow2_fsck_last_run_timestamp_seconds " + std::to_string(finished) +
          "\n";
  return text;
}

}  // namespace qcow2::cli
