#include "checker/ownership_map.h"

namespace qcow2::checker {

std::string_view NameOf(ClusterClass cluster_class) {
  switch (cluster_class) {
    case ClusterClass::kHeader:
      return "header";
    case ClusterClass::kRefcountTable:
      return "refcount table";
    case ClusterClass::kRefcountBlock:
      return "refcount block";
    case ClusterClass::kActiveL1:
      return "active L1 table";
    case ClusterClass::kSnapshotL1:
      return "L1 table of a snapshot";
    case ClusterClass::kActiveL2:
      return "active L2 table";
    case ClusterClass::kSnapshotL2:
      return "L2 table of snapshots";
    case ClusterClass::kSnapshotTable:
      return "snapshot table";
    case ClusterClass::kBitmaps:
      return "bitmaps";
    case ClusterClass::kLuksHeader:
      return "LUKS header";
    case ClusterClass::kGuestData:
      return "guest data";
    case ClusterClass::kSnapshotData:
      return "data of snapshots only";
    case ClusterClass::kCompressedData:
      return "compressed data";
    case ClusterClass::kVmState:
      return "saved machine state";
    case ClusterClass::kLeaked:
      return "leaked";
    case ClusterClass::kFree:
      return "free";
    case ClusterClass::kUnknown:
      return "unknown";
  }
  return "unknown";
}

ClusterClass ClassOf(Owner owner, bool active) {
  switch (owner) {
    case kOwnerHeader:
      return ClusterClass::kHeader;
    case kOwnerActiveL1:
      return ClusterClass::kActiveL1;
    case kOwnerInactiveL1:
      return ClusterClass::kSnapshotL1;
    case kOwnerActiveL2:
      return ClusterClass::kActiveL2;
    case kOwnerInactiveL2:
      return ClusterClass::kSnapshotL2;
    case kOwnerRefcountTable:
      return ClusterClass::kRefcountTable;
    case kOwnerRefcountBlock:
      return ClusterClass::kRefcountBlock;
    case kOwnerSnapshotTable:
      return ClusterClass::kSnapshotTable;
    case kOwnerBitmapDirectory:
    case kOwnerBitmapTable:
    case kOwnerBitmapData:
      return ClusterClass::kBitmaps;
    case kOwnerLuksHeader:
      return ClusterClass::kLuksHeader;
    case kOwnerGuestData:
      return active ? ClusterClass::kGuestData : ClusterClass::kSnapshotData;
    case kOwnerCompressedData:
      return ClusterClass::kCompressedData;
    case kOwnerVmState:
      return ClusterClass::kVmState;
  }
  return ClusterClass::kUnknown;
}

}  // namespace qcow2::checker
