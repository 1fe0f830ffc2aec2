// The sources of the page that are no C++, as text; made from *.html,
// page.css and *.js when the program is built.
#ifndef CLI_PICTURE_PAGE_RESOURCES_H_
#define CLI_PICTURE_PAGE_RESOURCES_H_

#include <string_view>

namespace qcow2::cli {

extern const std::string_view kPageTemplate;
extern const std::string_view kZoomBar;
extern const std::string_view kPageStyle;
extern const std::string_view kPageScript;

}  // namespace qcow2::cli

#endif  // CLI_PICTURE_PAGE_RESOURCES_H_
