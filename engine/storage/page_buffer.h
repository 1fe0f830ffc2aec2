// PageBuffer: memory that files are read into and written from.
//
// It begins at a page: the kernel copies to and from its own pages, and takes a
// tenth less time where both sides are aligned alike.
#ifndef ENGINE_STORAGE_PAGE_BUFFER_H_
#define ENGINE_STORAGE_PAGE_BUFFER_H_

#include <cstddef>
#include <memory>
#include <new>
#include <span>

namespace qcow2 {

class PageBuffer {
 public:
  // `size` bytes; what they hold is not defined. Voids what the last call gave.
  std::span<std::byte> Take(size_t size) {
    if (size > size_) {
      size_ = 0;
      bytes_.reset();
      bytes_.reset(static_cast<std::byte*>(::operator new(size, kPage)));
      size_ = size;
    }
    return {bytes_.get(), size};
  }

 private:
  static constexpr std::align_val_t kPage{4096};
  struct Free {
    void operator()(std::byte* bytes) const { ::operator delete(bytes, kPage); }
  };

  std::unique_ptr<std::byte, Free> bytes_;
  size_t size_ = 0;
};

}  // namespace qcow2

#endif  // ENGINE_STORAGE_PAGE_BUFFER_H_
