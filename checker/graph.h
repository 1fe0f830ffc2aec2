// What a check learnt of an image beyond its findings: the tables it found and
// who refers to which cluster. A repair plans with it.
//
// Values only; filled by CheckImage when CheckOptions::graph asks for it.
#ifndef CHECKER_GRAPH_H_
#define CHECKER_GRAPH_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "checker/image_model.h"
#include "checker/l2_tables.h"
#include "checker/refcount_structures.h"
#include "checker/reference_map.h"

namespace qcow2::checker {

struct Graph {
  ImageModel model;
  // The distinct L2 tables, by ascending offset.
  std::vector<L2Table> l2_tables;
  RefcountStructures refcounts;
  // All references there are, those of the refcount structures included. Null
  // when the image could not be looked at beyond its header, or when a memory
  // limit did not let one map hold all of it.
  std::unique_ptr<ReferenceMap> map;
  // Indexes into l2_tables: tables in active use without any entry, as far as
  // they were noted.
  std::vector<uint32_t> empty_active_tables;
};

}  // namespace qcow2::checker

#endif  // CHECKER_GRAPH_H_
