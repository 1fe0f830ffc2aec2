#include "checker/overlap_classes.h"

#include "gtest/gtest.h"

namespace qcow2::checker {
namespace {

uint32_t BitsOf(std::string_view text) {
  const absl::StatusOr<OverlapClasses> classes = OverlapClasses::Parse(text);
  EXPECT_TRUE(classes.ok()) << classes.status();
  return classes.ok() ? classes->bits() : ~0u;
}

TEST(OverlapClassesTest, Templates) {
  EXPECT_EQ(BitsOf("none"), 0u);
  EXPECT_EQ(BitsOf("constant"), OverlapClasses::Constant().bits());
  EXPECT_EQ(BitsOf("cached"), OverlapClasses::Cached().bits());
  EXPECT_EQ(BitsOf("all"), kMetadataOwners);
}

TEST(OverlapClassesTest, EachTemplateHoldsTheOneBefore) {
  const uint32_t constant = OverlapClasses::Constant().bits();
  const uint32_t cached = OverlapClasses::Cached().bits();
  EXPECT_EQ(cached & constant, constant);
  EXPECT_EQ(cached & ~constant,
            kOwnerActiveL2 | kOwnerRefcountBlock | kOwnerInactiveL1);
  EXPECT_EQ(cached & kOwnerInactiveL2, 0u);
}

TEST(OverlapClassesTest, SingleClassesGoOnTopInTheirOrder) {
  EXPECT_EQ(BitsOf("none,+active-l2"), kOwnerActiveL2);
  EXPECT_EQ(BitsOf("-inactive-l2"), kMetadataOwners & ~kOwnerInactiveL2);
  EXPECT_EQ(BitsOf("none,+active-l1,-active-l1"), 0u);
  EXPECT_EQ(BitsOf("none,-active-l1,+active-l1"), kOwnerActiveL1);
}

TEST(OverlapClassesTest, TheWrongItemIsNamed) {
  for (const std::string_view text :
       {"", "most", "all,", "all,none", "active-l2", "all,+guest-data",
        "all,*"}) {
    const absl::StatusOr<OverlapClasses> classes = OverlapClasses::Parse(text);
    EXPECT_EQ(classes.status().code(), absl::StatusCode::kInvalidArgument)
        << text;
  }
  const absl::Status status = OverlapClasses::Parse("all,+typo").status();
  EXPECT_NE(status.message().find("'+typo'"), absl::string_view::npos);
  EXPECT_NE(status.message().find("inactive-l2"), absl::string_view::npos);
}

TEST(OverlapClassesTest, CoversAsksForOneMetadataOwner) {
  const absl::StatusOr<OverlapClasses> classes =
      OverlapClasses::Parse("none,+refcount-block");
  ASSERT_TRUE(classes.ok());
  EXPECT_TRUE(classes->Covers(kOwnerRefcountBlock | kOwnerGuestData));
  EXPECT_FALSE(classes->Covers(kOwnerActiveL2 | kOwnerGuestData));
}

}  // namespace
}  // namespace qcow2::checker
