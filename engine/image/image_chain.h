// Opening an image by its path, with all the files it names: its external data
// file and its chain of backing files.
//
//   ChainOptions options;
//   options.writable = true;
//   ASSIGN_OR_RETURN(std::unique_ptr<Image> image, OpenImage(path, options));
//
// The image is locked as QEMU locks its images; so are the files it names.
// Those it names are only ever read, but for the data file of a writable image.
#ifndef ENGINE_IMAGE_IMAGE_CHAIN_H_
#define ENGINE_IMAGE_IMAGE_CHAIN_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/codec/secret.h"
#include "engine/image/guest_disk.h"
#include "engine/image/image.h"
#include "engine/image/image_chain_names.h"
#include "engine/storage/named_file.h"
#include "engine/storage/posix_file.h"

namespace qcow2 {

struct ChainOptions {
  bool writable = false;
  // As well, open the image's own backing file for writing, to commit to it.
  bool writable_backing = false;
  // Read an image that another process writes: no claims are made that would
  // keep others away. Not together with writing.
  bool force_share = false;
  // Which backing files are opened. With kNone they are not looked at, and what
  // only they have reads as zeros; otherwise one that is not to be opened is an
  // error.
  NamedFilePolicy backing = NamedFilePolicy::kFollow;
  // Which external data files; an image that has one cannot do without.
  NamedFilePolicy data_file = NamedFilePolicy::kFollow;
  // Files that the chain must not come to, because it is to hang below them.
  std::vector<FileIdentity> above;
  // Asked for the passphrase of each encrypted image, by the path of its file.
  // Where it is empty encrypted images are refused.
  std::function<absl::StatusOr<Secret>(const std::string& path)> passphrase;
  // Of every image of the chain.
  ImageTuning tuning;
};

// More images than this in one chain are refused.
inline constexpr size_t kMaxChainImages = 1000;

// Opens the image at `path`.
//
// Unavailable if another process's claims forbid it. FailedPrecondition for an
// image that is encrypted without a passphrase at hand, or that names no data
// file though it needs one. PermissionDenied for a wrong passphrase, as far as
// the image can tell (with the old AES encryption it cannot), and for a file
// that the policies have not opened.
// InvalidArgument for a chain that comes back to itself, naming the file, or is
// too long; Unimplemented for names that are no paths and for other formats;
// what the files and Image::Open say besides. Errors of files further down say
// which image named them.
absl::StatusOr<std::unique_ptr<Image>> OpenImage(const std::string& path,
                                                 const ChainOptions& options);

// Opens the disk at `path`, an image or a raw one. As OpenImage; also
// FailedPrecondition to write, with kAuto, what is raw only because it is
// nothing else: a guest could make it look like an image.
absl::StatusOr<std::unique_ptr<GuestDisk>> OpenDisk(
    const std::string& path, DiskFormat format, const ChainOptions& options);

}  // namespace qcow2

#endif  // ENGINE_IMAGE_IMAGE_CHAIN_H_
