// Any bytes are the name of a file that an image gives, the address of a server
// that a user gives, and the beginning of a file that a run over many images
// looks at.
//
// Behind the last zero byte, if there is one, is the path of the image.
#include <algorithm>
#include <string>
#include <string_view>

#include "cli/fleet/header_look.h"
#include "engine/image/image_chain_names.h"
#include "engine/storage/memory_file.h"
#include "engine/storage/nbd_address.h"
#include "fuzz/fuzz_target.h"

namespace {

// A name is found beside the image, or is an absolute path; one that a protocol
// stands before is never taken for a path.
void CheckNamedFile(std::string_view image_path, std::string_view name) {
  const auto path = qcow2::PathOfNamedFile(image_path, name);
  if (!path.ok()) {
    FUZZ_CHECK(!path.status().message().empty());
    return;
  }
  FUZZ_CHECK(path->find('\0') == std::string::npos);
  FUZZ_CHECK(!qcow2::IsNbdAddress(name) && !name.starts_with("json:"));
  const size_t slash = image_path.rfind('/');
  const std::string_view folder =
      slash == std::string_view::npos ? "" : image_path.substr(0, slash + 1);
  FUZZ_CHECK(*path == std::string(folder) + std::string(name) ||
             path->starts_with('/'));
}

// A password never appears in what is shown.
void CheckAddress(const std::string& address) {
  const std::string shown = qcow2::ShownAddress(address);
  FUZZ_CHECK(qcow2::IsNbdAddress(shown) == qcow2::IsNbdAddress(address));
  FUZZ_CHECK(qcow2::ShownAddress(shown) == shown);
  if (!qcow2::IsNbdAddress(address)) {
    FUZZ_CHECK(shown == address);
    return;
  }
  const size_t host = shown.find("://") + 3;
  const std::string_view authority = std::string_view(shown).substr(
      host, shown.find_first_of("/?#", host) - host);
  FUZZ_CHECK(authority.find('@') == std::string_view::npos);
}

void CheckLook(std::span<const std::byte> bytes) {
  using qcow2::cli::HeaderLook;
  using qcow2::cli::Look;
  const HeaderLook look = qcow2::cli::LookAtHeader(bytes);
  constexpr std::byte kMagic[] = {std::byte{'Q'}, std::byte{'F'},
                                  std::byte{'I'}, std::byte{0xfb}};
  const bool magic =
      bytes.size() >= 4 && std::ranges::equal(bytes.first(4), kMagic);
  FUZZ_CHECK((look.look == Look::kOther) == !magic);
  for (const std::string* name :
       {&look.backing_file, &look.backing_format, &look.data_file}) {
    FUZZ_CHECK(name->size() <= bytes.size());
    FUZZ_CHECK(look.look == Look::kImage || name->empty());
  }
}

void CheckFormat(std::span<const std::byte> bytes) {
  const qcow2::MemoryFile file({bytes.begin(), bytes.end()});
  const auto format = qcow2::ProbeFormat(file);
  FUZZ_CHECK(format.ok() ? *format != qcow2::DiskFormat::kAuto
                         : !format.status().message().empty());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto bytes = qcow2::fuzz::InputBytes(data, size);
  const std::string text(reinterpret_cast<const char*>(data), size);
  const size_t zero = text.rfind('\0');
  if (zero != std::string::npos) {
    CheckNamedFile(text.substr(zero + 1), text.substr(0, zero));
  }
  CheckNamedFile("/images/a.qcow2", text);
  CheckAddress(text);
  CheckLook(bytes);
  CheckFormat(bytes);
  return 0;
}
