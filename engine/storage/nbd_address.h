// Addresses of exports on NBD servers, as users give them in place of a path.
//
// Text only: connects to nothing.
#ifndef ENGINE_STORAGE_NBD_ADDRESS_H_
#define ENGINE_STORAGE_NBD_ADDRESS_H_

#include <string>
#include <string_view>

namespace qcow2 {

// Whether `argument` is an address of the NBD URI specification: it begins with
// nbd:, nbds:, nbd+unix:, nbds+unix:, nbd+vsock: or nbds+vsock: and two
// slashes. A file called so can be given as ./nbd://...
bool IsNbdAddress(std::string_view argument);

// What to call `argument` in reports and messages: an address without the user
// and password that may stand before the host, anything else as it is.
std::string ShownAddress(std::string_view argument);

}  // namespace qcow2

#endif  // ENGINE_STORAGE_NBD_ADDRESS_H_
