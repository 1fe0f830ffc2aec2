// Making new images.
//
// Writes the image file, and the external data file if there is one.
#ifndef ENGINE_IMAGE_CREATE_H_
#define ENGINE_IMAGE_CREATE_H_

#include "absl/status/status.h"
#include "engine/image/create_options.h"
#include "engine/storage/file.h"

namespace qcow2 {

// Makes a new, empty image out of `file`, and of `data_file` the data file that
// belongs to it. What either of them held before is gone. Both must be
// writable; `data_file` is null if and only if options.data_file is empty.
//
// A file becomes as long as the image needs. On a device, whose length is
// fixed, the image takes as much from the beginning as it needs, which must be
// there, and that part is zeroed first.
//
// The magic number is written last, and only when all else is on stable
// storage: after a failure or a crash the file either is the whole image or
// nothing that anybody takes for one.
//
// Takes time for the length of the tables, and with Preallocation::kFull of the
// guest's data; a few MiB of memory at most.
//
// InvalidArgument for what CheckCreateOptions and PlanImageLayout refuse and
// ResourceExhausted for a first cluster that cannot hold all names, before
// anything is changed; else what the files say.
absl::Status CreateImage(File& file, File* data_file,
                         const CreateOptions& options);

}  // namespace qcow2

#endif  // ENGINE_IMAGE_CREATE_H_
