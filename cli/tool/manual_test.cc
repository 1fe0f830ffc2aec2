#include "cli/tool/manual.h"

#include <fstream>
#include <iterator>

#include "gtest/gtest.h"

namespace qcow2::tool {
namespace {

std::string Page() {
  std::ifstream stream("docs/qcow2-tool.1");
  EXPECT_TRUE(stream);
  return {std::istreambuf_iterator<char>(stream), {}};
}

TEST(ManualTest, ThePageInDocsIsUpToDate) {
  EXPECT_TRUE(Page() == ManualPage())
      << "bazel run //cli:generate_docs -- $PWD/docs";
}

TEST(ManualTest, EverySubcommandHasASectionWithItsOptions) {
  const std::string page = ManualPage();
  for (const char* part :
       {".Ss create [OPTION]... IMAGE [SIZE]\n", ".Ss fdisk create ",
        ".It Fl Fl cluster-size Ns = Ns Ar BYTES\n",
        ".It Fl c , Fl Fl count Ns = Ns Ar N\n", ".It Fl o Ar KEY=VALUE,...\n",
        ".Dl $ qcow2-tool dump disk.qcow2\n"}) {
    EXPECT_NE(page.find(part), std::string::npos) << part;
  }
}

}  // namespace
}  // namespace qcow2::tool
