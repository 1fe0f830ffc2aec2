// What the tests of L1 and L2 entries share: entries of the image of the tests,
// and the shapes that such an image may have.
#ifndef REPAIR_ENTRY_TESTING_H_
#define REPAIR_ENTRY_TESTING_H_

#include <cstdint>
#include <string>
#include <vector>

#include "checker/test_image.h"
#include "engine/format/entry_flags.h"
#include "gtest/gtest.h"
#include "repair/testing.h"

namespace qcow2::repair {

using Texts = std::vector<std::string>;

// Words of the L1 and of the L2 table as planned.
inline uint64_t L1At(const checker::TestImage& image, const Planned& planned,
                     uint64_t index) {
  return Be64At(*planned.view, image.OffsetOf(kL1) + 8 * index);
}
inline uint64_t L2At(const checker::TestImage& image, const Planned& planned,
                     uint64_t index) {
  return Be64At(*planned.view, image.OffsetOf(kL2) + 8 * index);
}

// The first L1 entry, and L2 entries, of a sound image.
inline uint64_t TableEntry(const checker::TestImage& image) {
  return image.OffsetOf(kL2) | kCopiedFlag;
}
inline uint64_t DataEntry(const checker::TestImage& image, uint64_t index) {
  return image.OffsetOf(kData + index) | kCopiedFlag;
}

// Far past the end of the file, at a distance of several bits from everything
// in it.
inline uint64_t PastEnd(const checker::TestImage& image) {
  return image.OffsetOf(0x700000 + kData + 1);
}

// The plan names `changes`, and the view is clean and done.
inline void ExpectDoneWith(const Texts& changes, const Planned& planned,
                           Mode mode) {
  EXPECT_EQ(GuestChangesOf(planned), changes);
  ExpectCleanAndDone(planned, WithMode(mode));
}

// Plans the repair of `image`: the word at `index` becomes `word`, the plan
// names `changes`, and the view is clean and done.
inline void ExpectL1Mended(checker::TestImage& image, uint64_t index,
                           uint64_t word, const Texts& changes,
                           Mode mode = Mode::kAll) {
  const Planned planned = PlanFor(image.file(), WithMode(mode));
  EXPECT_EQ(L1At(image, planned, index), word);
  ExpectDoneWith(changes, planned, mode);
}
inline void ExpectL2Mended(checker::TestImage& image, uint64_t index,
                           uint64_t word, const Texts& changes,
                           Mode mode = Mode::kAll) {
  const Planned planned = PlanFor(image.file(), WithMode(mode));
  EXPECT_EQ(L2At(image, planned, index), word);
  ExpectDoneWith(changes, planned, mode);
}

struct Shape {
  uint32_t version;
  uint32_t cluster_bits;
};

class AnyShapeTest : public testing::TestWithParam<Shape> {
 protected:
  checker::TestImage image_{GetParam().version, GetParam().cluster_bits};
};

inline constexpr Shape kShapes[] = {{2, 9},  {3, 9},  {2, 12}, {3, 12},
                                    {3, 16}, {2, 21}, {3, 21}};

inline std::string NameOfShape(const testing::TestParamInfo<Shape>& info) {
  return "v" + std::to_string(info.param.version) + "_bits" +
         std::to_string(info.param.cluster_bits);
}

}  // namespace qcow2::repair

#endif  // REPAIR_ENTRY_TESTING_H_
