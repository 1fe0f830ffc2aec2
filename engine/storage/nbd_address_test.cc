#include "engine/storage/nbd_address.h"

#include "gtest/gtest.h"

namespace qcow2 {
namespace {

TEST(NbdAddressTest, KnowsAddressesFromPaths) {
  for (const char* const address :
       {"nbd://host/disk", "nbds://host:10810/", "nbd+unix:///disk?socket=/s",
        "nbds+unix:///?socket=s", "nbd+vsock://2/", "nbds+vsock://2/disk"}) {
    EXPECT_TRUE(IsNbdAddress(address)) << address;
  }
  for (const char* const path :
       {"", "nbd", "nbd:", "nbd:/host", "./nbd://host/disk", "/nbd://host",
        "http://host/disk", "nbd:unix:/socket", "NBD", "file:nbd://host"}) {
    EXPECT_FALSE(IsNbdAddress(path)) << path;
  }
}

TEST(NbdAddressTest, HidesWhoTheUserIs) {
  EXPECT_EQ(ShownAddress("nbd://host:10809/disk"), "nbd://host:10809/disk");
  EXPECT_EQ(ShownAddress("nbds://alice@host/disk"), "nbds://host/disk");
  EXPECT_EQ(ShownAddress("nbds://alice:se@cret@host/disk"), "nbds://host/disk");
  EXPECT_EQ(ShownAddress("nbds+unix://alice:x@/?socket=/s"),
            "nbds+unix:///?socket=/s");
  EXPECT_EQ(ShownAddress("nbds://alice@host?socket=x"), "nbds://host?socket=x");
}

TEST(NbdAddressTest, LeavesTheRestAlone) {
  EXPECT_EQ(ShownAddress("nbd://host/disk@monday"), "nbd://host/disk@monday");
  EXPECT_EQ(ShownAddress("nbd+unix:///?socket=/run/a@b"),
            "nbd+unix:///?socket=/run/a@b");
  EXPECT_EQ(ShownAddress("images/a@b.qcow2"), "images/a@b.qcow2");
}

}  // namespace
}  // namespace qcow2
