// One image from its path to its report: opens the file, takes the locks, runs
// the check or the repair.
#ifndef CLI_SESSION_H_
#define CLI_SESSION_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "checker/check.h"
#include "checker/ownership_map.h"
#include "checker/report.h"
#include "cli/image_report.h"
#include "cli/options.h"
#include "cli/picture/guest_partitions.h"
#include "cli/surroundings.h"
#include "engine/storage/file.h"
#include "repair/target.h"
#include "repair/transaction_report.h"

namespace qcow2::cli {

// Opens the image that the user named, a path or an address, for reading, and
// locks a local one as a reader unless options.force_share. Unavailable when
// another process writes to it, with a message that says who that may be and
// what can be done.
absl::StatusOr<std::unique_ptr<File>> OpenImage(
    const std::string& image, const Options& options,
    const Surroundings& surroundings);

// The report of an image that could not be opened.
checker::CheckReport NotOpened(const std::string& path,
                               const absl::Status& status);

// Checks an open image as `options` say, showing progress where that is due.
// Fills `ownership` if there is one.
checker::CheckReport CheckOpenImage(const File& file, const std::string& path,
                                    const Options& options,
                                    const Surroundings& surroundings,
                                    checker::OwnershipMap* ownership = nullptr);

// When the connection to the server of a remote image was lost, or its very
// beginning cannot be read, the report of its check becomes an error and
// nothing else: what could not be read any more is no damage. CheckOpenImage()
// does so.
void ForgetIfLost(const File& file, checker::CheckReport& report);

// Locks an open image as OpenImage() does, with the same errors.
absl::Status LockAsReader(File& file, const std::string& path);

// Whether progress is shown on standard error.
bool ShowsProgress(const Options& options, const Surroundings& surroundings);

// How `options` want an image to be checked; cancel and progress are not set.
checker::CheckOptions CheckOptionsFrom(const Options& options);

// Adds what is around the image that the user named, or that was found at this
// path: that a repair of it was cut short, as the `journal` tells that
// FindJournalOf() found, that it is remote.
void AddCircumstances(const std::string& image,
                      const absl::StatusOr<repair::JournalInfo>& journal,
                      checker::CheckReport& report);
// What is beside an image of this machine; nothing for one that is remote.
absl::StatusOr<repair::JournalInfo> FindJournalOf(const std::string& image);

// What a picture of an image is made of, besides its report.
struct PictureParts {
  checker::OwnershipMap ownership;
  GuestPartitions partitions;
};

// Does with the image that the user named what `options` say: checks, repairs,
// recovers, undoes or discards. A check also looks whether a repair of the
// image was cut short. `parts`, if given, is filled with what is in the image
// as it is reported: before a repair, or after what else was done.
ImageReport ProcessImage(const std::string& image, const Options& options,
                         const Surroundings& surroundings,
                         PictureParts* parts = nullptr);

// The repair alone; options.task is kRepair.
repair::RepairReport RepairOnly(const std::string& image,
                                const Options& options,
                                const Surroundings& surroundings,
                                PictureParts* parts = nullptr);

}  // namespace qcow2::cli

#endif  // CLI_SESSION_H_
