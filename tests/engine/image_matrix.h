// The matrix of images that QEMU and the engine share: what an image can be,
// and as few images as bring each two of these things together.
//
// For tests only; pure.
#ifndef TESTS_ENGINE_IMAGE_MATRIX_H_
#define TESTS_ENGINE_IMAGE_MATRIX_H_

#include <ostream>
#include <string>
#include <vector>

#include "engine/image/create_options.h"
#include "tests/engine/pairwise.h"
#include "tests/engine/shared_image.h"

namespace qcow2 {

// A factor of the matrix and the names of its values.
struct MatrixFactor {
  std::string name;
  std::vector<std::string> values;
};
const std::vector<MatrixFactor>& MatrixFactors();

// One image of the matrix.
struct MatrixImage {
  std::string name;  // of letters, digits and underscores
  SharedImageOptions image;
  bool snapshots = false;
  bool bitmap = false;

  friend std::ostream& operator<<(std::ostream& out, const MatrixImage& image) {
    return out << image.name;
  }
};
MatrixImage ImageOfRow(const FactorRow& row);

// All rows that make an image there can be.
std::vector<FactorRow> PossibleImages();

// "version=2 refcount=64".
std::string PairName(const FactorPair& pair);

}  // namespace qcow2

#endif  // TESTS_ENGINE_IMAGE_MATRIX_H_
