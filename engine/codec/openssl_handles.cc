#include "engine/codec/openssl_handles.h"

#include <openssl/crypto.h>
#include <openssl/err.h>

#include <array>
#include <string>

#include "absl/strings/str_cat.h"

namespace qcow2 {

void InitializeOpenSsl() {
  OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, nullptr);
}

absl::Status OpenSslError(std::string_view what) {
  const auto code = ERR_get_error();
  ERR_clear_error();
  std::string message(what);
  if (code != 0) {
    std::array<char, 256> text = {};
    ERR_error_string_n(code, text.data(), text.size());
    absl::StrAppend(&message, ": ", text.data());
  }
  return absl::InternalError(message);
}

}  // namespace qcow2
