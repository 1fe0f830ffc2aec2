// Where the program writes text: a descriptor, or a file that appears complete
// or not at all.
#ifndef CLI_OUTPUT_FILE_H_
#define CLI_OUTPUT_FILE_H_

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace qcow2::cli {

// Writes all of `text`; `name` is what to call the descriptor in an error.
absl::Status WriteAll(int descriptor, std::string_view text,
                      std::string_view name);

// A file being written. A regular file is written beside its final place and
// takes that place in one step when it is committed; destroyed before that, it
// leaves nothing behind. A device or pipe is written directly.
class OutputFile {
 public:
  // InvalidArgument for a file or block device that is a qcow2 image: a slip on
  // the command line must not destroy one; what is there and cannot be read is
  // not overwritten either. PermissionDenied for a symbolic link of another
  // user; own ones, and root's, are followed. Else what the system says. With
  // `mode` a regular file gets those permissions; else those of the file it
  // takes the place of, or everybody may read it.
  static absl::StatusOr<OutputFile> Create(
      const std::string& path, std::optional<unsigned> mode = std::nullopt);

  OutputFile(OutputFile&& other) noexcept;
  OutputFile& operator=(OutputFile&&) = delete;
  ~OutputFile();

  absl::Status Append(std::string_view text);
  // Puts the file in its place, on stable storage. Nothing may follow.
  absl::Status Commit();

 private:
  // Of a device or pipe.
  static absl::StatusOr<OutputFile> CreateDirect(const std::string& path);

  OutputFile(int descriptor, std::string path, std::string temporary)
      : descriptor_(descriptor),
        path_(std::move(path)),
        temporary_(std::move(temporary)) {}

  int descriptor_;
  std::string path_;       // the final place
  std::string temporary_;  // empty: written directly
};

}  // namespace qcow2::cli

#endif  // CLI_OUTPUT_FILE_H_
