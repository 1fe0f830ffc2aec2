// What an image's compressed clusters say of how they were compressed.
//
// Reads only.
#ifndef REPAIR_COMPRESSION_TYPE_EVIDENCE_H_
#define REPAIR_COMPRESSION_TYPE_EVIDENCE_H_

#include <atomic>

#include "checker/graph.h"
#include "engine/storage/file.h"

namespace qcow2::repair {

enum class CompressionEvidence {
  kNone,     // there are no compressed clusters
  kDeflate,  // all that were tried are deflate data, and no zstd data
  kZstd,     // the other way round
  kUnclear,  // some can be read neither way, or one this, one that way
};

// Looks for compressed clusters in all L2 tables until it has tried some.
// `cancel` may be null; kUnclear if it becomes true.
CompressionEvidence FindCompressionEvidence(const checker::Graph& graph,
                                            const File& view,
                                            const std::atomic<bool>* cancel);

}  // namespace qcow2::repair

#endif  // REPAIR_COMPRESSION_TYPE_EVIDENCE_H_
