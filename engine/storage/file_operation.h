// The kinds of operations of a File, for the wrappers that tell them apart.
#ifndef ENGINE_STORAGE_FILE_OPERATION_H_
#define ENGINE_STORAGE_FILE_OPERATION_H_

namespace qcow2 {

enum class FileOperation {
  kPread,
  kPwrite,
  kFlush,
  kTruncate,
  kPunchHole,
  kAllocate,
  kLock,
  kUnlock,
};

}  // namespace qcow2

#endif  // ENGINE_STORAGE_FILE_OPERATION_H_
