#include "cli/metrics_printer.h"

#include <array>
#include <cstddef>
#include <cstdio>
#include <string_view>
#include <unordered_map>

#include "checker/printable.h"
#include "cli/exit_code.h"

namespace qcow2::cli {
namespace {

// A metric with one number an image, or none.
struct Metric {
  std::string_view name;
  std::string_view help;
  std::optional<uint64_t> (*value)(const ImageMetrics&);
};

std::optional<uint64_t> IfKnown(const ImageMetrics& image, uint64_t value) {
  if (image.remembered) return std::nullopt;
  return value;
}

using Value = std::optional<uint64_t>;

constexpr Metric kMetrics[] = {
    {"qcow2_fsck_corruptions", "Corrupt entries or clusters in the image.",
     [](const ImageMetrics& image) -> Value {
       return image.counts.corruptions;
     }},
    {"qcow2_fsck_leaks", "Leaked clusters in the image.",
     [](const ImageMetrics& image) -> Value { return image.counts.leaks; }},
    {"qcow2_fsck_leaked_bytes", "Size of the leaked clusters.",
     [](const ImageMetrics& image) -> Value { return image.leaked_bytes; }},
    {"qcow2_fsck_warnings", "Warnings given.",
     [](const ImageMetrics& image) -> Value { return image.counts.warnings; }},
    {"qcow2_fsck_suspect_orphans",
     "Leaked clusters that may be what is left of guest data.",
     [](const ImageMetrics& image) -> Value {
       return image.counts.suspect_orphans;
     }},
    {"qcow2_fsck_new_corruptions", "Corruptions since the baseline.",
     [](const ImageMetrics& image) { return image.new_corruptions; }},
    {"qcow2_fsck_new_leaks", "Leaked clusters since the baseline.",
     [](const ImageMetrics& image) { return image.new_leaks; }},
    {"qcow2_fsck_fixed", "Problems mended by this run.",
     [](const ImageMetrics& image) { return IfKnown(image, image.fixed); }},
    {"qcow2_fsck_unreadable_bytes", "Bytes of metadata that cannot be read.",
     [](const ImageMetrics& image) {
       return IfKnown(image, image.counts.unreadable_bytes);
     }},
    {"qcow2_fsck_exit_code", "Exit code of the check (see the manual page).",
     [](const ImageMetrics& image) -> Value {
       return static_cast<uint64_t>(image.exit_code);
     }},
    {"qcow2_fsck_virtual_size_bytes", "Size of the virtual disk.",
     [](const ImageMetrics& image) {
       return IfKnown(image, image.virtual_size_bytes);
     }},
    {"qcow2_fsck_file_size_bytes", "Length of the image file.",
     [](const ImageMetrics& image) {
       return IfKnown(image, image.file_size_bytes);
     }},
    {"qcow2_fsck_metadata_read_bytes", "Metadata read by the check.",
     [](const ImageMetrics& image) {
       return IfKnown(image, image.metadata_bytes);
     }},
    {"qcow2_fsck_last_check_timestamp_seconds",
     "When the image was checked, in seconds since 1970.",
     [](const ImageMetrics& image) -> Value {
       return static_cast<uint64_t>(image.checked);
     }},
    {"qcow2_fsck_last_success_timestamp_seconds",
     "When a check of the image last came to a verdict, in seconds since 1970; "
     "0: not known.",
     [](const ImageMetrics& image) -> Value {
       return static_cast<uint64_t>(image.succeeded);
     }},
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

// A metric with one sample and no labels.
std::string Single(std::string_view name, std::string_view help,
                   const std::string& value) {
  std::string text = Header(name, help);
  return text.append(name).append(" ").append(value).append("\n");
}

std::string SecondsText(double seconds) {
  char value[40];
  std::snprintf(value, sizeof value, "%.6f", seconds);
  return value;
}

std::string MetricSamples(const Metric& metric,
                          const std::vector<ImageMetrics>& images) {
  std::string samples;
  for (const ImageMetrics& image : images) {
    const std::optional<uint64_t> value = metric.value(image);
    if (!value) continue;
    samples.append(Sample(metric.name, image)).append("} ");
    samples.append(std::to_string(*value)).append("\n");
  }
  // A metric that no image has would be a header of nothing.
  return samples.empty() ? "" : Header(metric.name, metric.help) + samples;
}

// Sums over all images, also those that earlier runs checked.
std::string Totals(const std::vector<ImageMetrics>& images) {
  std::array<uint64_t, 7> by_status = {};
  checker::Counts counts;
  uint64_t leaked_bytes = 0;
  for (const ImageMetrics& image : images) {
    ++by_status[static_cast<size_t>(image.status)];
    counts.corruptions += image.counts.corruptions;
    counts.leaks += image.counts.leaks;
    counts.suspect_orphans += image.counts.suspect_orphans;
    leaked_bytes += image.leaked_bytes;
  }
  std::string text =
      Header("qcow2_fsck_fleet_images", "Images by the result of their check.");
  for (size_t i = 0; i < by_status.size(); ++i) {
    text += "qcow2_fsck_fleet_images{status=\"";
    text.append(NameOf(static_cast<ImageStatus>(i))).append("\"} ");
    text += std::to_string(by_status[i]) + "\n";
  }
  text += Single("qcow2_fsck_fleet_corruptions", "Corruptions of all images.",
                 std::to_string(counts.corruptions));
  text += Single("qcow2_fsck_fleet_leaks", "Leaked clusters of all images.",
                 std::to_string(counts.leaks));
  text += Single("qcow2_fsck_fleet_leaked_bytes",
                 "Size of the leaked clusters of all images.",
                 std::to_string(leaked_bytes));
  text += Single("qcow2_fsck_fleet_suspect_orphans",
                 "Leaked clusters of all images that may be what is left of "
                 "guest data.",
                 std::to_string(counts.suspect_orphans));
  return text;
}

std::string RunText(const RunMetrics& run) {
  return Single("qcow2_fsck_run_duration_seconds", "Time the run took.",
                SecondsText(run.seconds)) +
         Single("qcow2_fsck_run_images_left",
                "Images that the run left for the next one.",
                std::to_string(run.left)) +
         Single("qcow2_fsck_run_exit_code",
                "Exit code of the run (see the manual page).",
                std::to_string(run.exit_code));
}

std::string DurationSample(const ImageMetrics& image) {
  return Sample("qcow2_fsck_check_duration_seconds", image) + "} " +
         SecondsText(image.seconds) + "\n";
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

checker::Counts AtLeast(checker::Counts counts,
                        const checker::Counts& earlier) {
  for (const auto member :
       {&checker::Counts::corruptions, &checker::Counts::leaks,
        &checker::Counts::warnings, &checker::Counts::notes,
        &checker::Counts::suspect_orphans,
        &checker::Counts::unreadable_bytes}) {
    counts.*member = std::max(counts.*member, earlier.*member);
  }
  return counts;
}

ImageMetrics MetricsOf(const ImageReport& report, int64_t checked,
                       const EarlierVerdict& earlier) {
  const checker::CheckReport& now = Now(report);
  // Of the image as it is, whatever the run is compared with.
  const int exit_code =
      report.change.has_value() ? ExitCodeOf(report.found) : ExitCodeOf(report);
  const bool verdict =
      (exit_code & (kExitOperationalError | kExitCancelled)) == 0;
  ImageMetrics metrics = {
      .path = now.image.path,
      .status = StatusOf(report),
      .exit_code = exit_code,
      .counts = now.counts,
      .fixed = Mended(report) ? report.transaction->fixed : 0,
      .virtual_size_bytes = now.image.virtual_size_bytes,
      .file_size_bytes = now.image.file_size_bytes,
      .metadata_bytes = report.found.statistics.metadata_bytes,
      .seconds = report.found.statistics.seconds,
      .leaked_bytes = LeakedBytes(report),
      .checked = checked,
      .succeeded = verdict ? checked : earlier.time};
  if (!verdict) {
    metrics.counts = AtLeast(metrics.counts, earlier.counts);
    metrics.leaked_bytes = std::max(metrics.leaked_bytes, earlier.leaked_bytes);
  }
  if (report.change.has_value()) {
    metrics.new_corruptions = report.change->new_corruptions;
    metrics.new_leaks = report.change->new_leaks;
  }
  return metrics;
}

std::string MetricsText(const std::vector<ImageMetrics>& images,
                        int64_t finished,
                        const std::optional<RunMetrics>& run) {
  const std::vector<ImageMetrics> kept = LastOfEachPath(images);
  std::string text = Header("qcow2_fsck_status",
                            "Result of the check: 1 for the status it has.");
  for (const ImageMetrics& image : kept) text += StatusSamples(image);
  for (const Metric& metric : kMetrics) text += MetricSamples(metric, kept);
  text += Header("qcow2_fsck_check_duration_seconds", "Time the check took.");
  for (const ImageMetrics& image : kept) text += DurationSample(image);
  text += Totals(kept);
  if (run) text += RunText(*run);
  return text + Single("qcow2_fsck_last_run_timestamp_seconds",
                       "When the run ended, in seconds since 1970.",
                       std::to_string(finished));
}

}  // namespace qcow2::cli
