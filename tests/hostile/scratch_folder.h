// A folder for files of up to 2^62 bytes, gone with the object.
//
// For tests only.
#ifndef TESTS_HOSTILE_SCRATCH_FOLDER_H_
#define TESTS_HOSTILE_SCRATCH_FOLDER_H_

#include <string>

namespace qcow2::hostile {

class ScratchFolder {
 public:
  // In memory where the system has a place for that, since no disk's file
  // system holds files that large; else in the test's own folder.
  ScratchFolder();
  ~ScratchFolder();
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;

  // The path of the file `name` in the folder.
  std::string File(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

}  // namespace qcow2::hostile

#endif  // TESTS_HOSTILE_SCRATCH_FOLDER_H_
