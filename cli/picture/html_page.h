// The page of --html: verdict, findings, transaction and maps of one image in a
// single file that needs no network and lets nothing in the image speak.
//
// Pure, no I/O.
#ifndef CLI_PICTURE_HTML_PAGE_H_
#define CLI_PICTURE_HTML_PAGE_H_

#include <ctime>
#include <string>

#include "cli/image_report.h"
#include "cli/picture/picture.h"

namespace qcow2::cli {

// Findings listed on a page, and those named in its maps.
inline constexpr size_t kMaxPageFindings = 2000;

// The whole document. `now` is when the image was checked.
std::string HtmlPage(const ImageReport& report, const Picture& picture,
                     std::time_t now);

}  // namespace qcow2::cli

#endif  // CLI_PICTURE_HTML_PAGE_H_
