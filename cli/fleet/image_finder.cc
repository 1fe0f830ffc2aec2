#include "cli/fleet/image_finder.h"

#include <fnmatch.h>
#include <sys/stat.h>

#include <cstddef>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <utility>

#include "cli/fleet/header_look.h"
#include "cli/fleet/tree.h"
#include "cli/other_files.h"
#include "engine/status_macros.h"
#include "engine/storage/nbd_address.h"

namespace qcow2::cli {
namespace {

using Identity = std::pair<uint64_t, uint64_t>;  // device, inode

Identity IdentityOf(const PosixFile& file) {
  return {file.identity().device, file.identity().inode};
}

bool IsFolder(const std::string& path) {
  struct stat status;
  return stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}

absl::StatusOr<HeaderLook> LookAtFile(const File& file) {
  // Most files of a tree are no images: four bytes tell.
  std::vector<std::byte> bytes(4);
  ASSIGN_OR_RETURN(const size_t magic, file.Pread(0, bytes));
  if (LookAtHeader(std::span(bytes).first(magic)).look == Look::kOther) {
    return HeaderLook{};
  }
  bytes.resize(kHeaderLookBytes);
  ASSIGN_OR_RETURN(const size_t count, file.Pread(0, bytes));
  return LookAtHeader(std::span(bytes).first(count));
}

// An image with what the search wants to know of it.
struct Candidate {
  FleetImage image;
  std::optional<Identity> identity;
  HeaderLook look;
};

class Finder {
 public:
  explicit Finder(const FindRequest& request) : request_(request) {}

  FoundImages Find() {
    for (const std::string& argument : request_.arguments) {
      if (request_.options.recursive && IsFolder(argument)) {
        AddTree(argument);
      } else {
        AddNamed(argument);
      }
    }
    // New candidates may come meanwhile, and have backing files in turn.
    for (size_t i = 0; i < candidates_.size(); ++i) FollowNames(i);
    for (Candidate& candidate : candidates_) {
      if (candidate.identity && !candidate.image.root.empty() &&
          guest_data_.contains(*candidate.identity)) {
        continue;
      }
      // Only now, as it may be others that lie on an image of this shard.
      if (!IsInShard(candidate.image.path, request_.options.shard)) continue;
      found_.images.push_back(std::move(candidate.image));
    }
    return std::move(found_);
  }

 private:
  // A named image is checked whatever it is, also when it cannot be opened.
  void AddNamed(const std::string& argument) {
    Candidate candidate;
    candidate.image = NamedImage(argument);
    if (!candidate.image.address.empty()) {
      // Only its own check connects to the server.
      candidates_.push_back(std::move(candidate));
      return;
    }
    const std::string& path = candidate.image.path;
    absl::StatusOr<std::unique_ptr<PosixFile>> file = PosixFile::Open(path);
    if (file.ok()) {
      candidate.identity = IdentityOf(**file);
      absl::StatusOr<HeaderLook> look = LookAtFile(**file);
      if (look.ok()) candidate.look = *std::move(look);
    }
    Add(std::move(candidate));
  }

  void AddTree(const std::string& root) {
    TreeVisitor visitor;
    visitor.excluded = [&](const std::string& relative,
                           const std::string& name) {
      return IsExcluded(root, relative, name);
    };
    visitor.file = [&](const std::string& relative) {
      AddFromTree(root, relative);
    };
    visitor.error = [&](const absl::Status& status) {
      found_.errors.push_back(status);
    };
    visitor.cancel = request_.cancel;
    WalkTree(root, visitor);
  }

  // A pattern with a slash is for paths, one without for names.
  bool IsExcluded(const std::string& root, const std::string& relative,
                  const std::string& name) const {
    for (const std::string& glob : request_.options.exclude) {
      if (glob.find('/') == std::string::npos) {
        if (fnmatch(glob.c_str(), name.c_str(), 0) == 0) return true;
        continue;
      }
      const std::string path = PathInTree(root, relative);
      if (fnmatch(glob.c_str(), relative.c_str(), FNM_PATHNAME) == 0 ||
          fnmatch(glob.c_str(), path.c_str(), FNM_PATHNAME) == 0) {
        return true;
      }
    }
    return false;
  }

  void AddFromTree(const std::string& root, const std::string& relative) {
    const absl::StatusOr<FileInTree> opened = OpenInTree(root, relative);
    if (absl::IsNotFound(opened.status())) return;  // removed meanwhile
    if (!opened.ok()) {
      found_.errors.push_back(opened.status());
      return;
    }
    const std::optional<int64_t>& newer_than = request_.options.newer_than;
    if (newer_than && opened->modified <= *newer_than) return;
    absl::StatusOr<HeaderLook> look = LookAtFile(*opened->file);
    if (!look.ok()) {
      found_.errors.push_back(look.status());
      return;
    }
    Candidate candidate;
    candidate.image = {
        .path = PathInTree(root, relative), .root = root, .relative = relative};
    candidate.identity = IdentityOf(*opened->file);
    candidate.look = *std::move(look);
    if (IsImage(candidate)) Add(std::move(candidate));
  }

  // Says why not, where a person would wonder.
  bool IsImage(const Candidate& candidate) {
    const std::string& path = candidate.image.path;
    if (candidate.look.look == Look::kImage) return true;
    if (request_.was_image && request_.was_image(path)) return true;
    if (candidate.look.look == Look::kDoubtful) {
      Doubt(path, "begins like a qcow2 image, but has no header of one");
    } else if (path.ends_with(".qcow2")) {
      Doubt(path, "is called .qcow2, but does not begin like an image");
    }
    return false;
  }

  void Doubt(const std::string& path, const char* why) {
    if (!IsInShard(path, request_.options.shard)) return;
    ++found_.doubtful;
    if (request_.remark) {
      request_.remark("'" + path + "' " + why +
                      "; not checked, as it was not named");
    }
  }

  void Add(Candidate candidate) {
    if (candidate.identity) {
      if (!index_of_.emplace(*candidate.identity, candidates_.size()).second) {
        const std::string& path = candidate.image.path;
        if (IsInShard(path, request_.options.shard)) ++found_.other_names;
        return;
      }
    }
    candidates_.push_back(std::move(candidate));
  }

  // What the image at `index` says of other files.
  void FollowNames(size_t index) {
    const HeaderLook look = candidates_[index].look;
    const std::string path = candidates_[index].image.path;
    if (!look.data_file.empty()) NoteGuestData(look.data_file, path);
    if (look.backing_file.empty()) return;
    if (look.backing_format == "raw") {
      NoteGuestData(look.backing_file, path);
    } else {
      FollowBacking(look, path);
    }
  }

  // A file that holds what a guest wrote is no image, even if the guest wrote
  // what looks like one.
  void NoteGuestData(const std::string& name, const std::string& base) {
    const absl::StatusOr<std::string> path = ResolveOtherFile(name, base);
    struct stat status;
    if (path.ok() && stat(path->c_str(), &status) == 0) {
      guest_data_.insert({status.st_dev, status.st_ino});
    }
  }

  void FollowBacking(const HeaderLook& look, const std::string& base) {
    const absl::StatusOr<std::string> path =
        ResolveOtherFile(look.backing_file, base);
    struct stat status;
    // What cannot be found is a finding of the image's own check.
    if (!path.ok() || stat(path->c_str(), &status) != 0) return;
    const Identity identity = {status.st_dev, status.st_ino};
    if (!index_of_.contains(identity) && request_.options.backing_files) {
      AddBacking(base, *path, look.backing_format);
    }
    const auto known = index_of_.find(identity);
    if (known != index_of_.end()) ++candidates_[known->second].image.overlays;
  }

  void AddBacking(const std::string& base, const std::string& path,
                  const std::string& format) {
    Candidate candidate;
    candidate.image.path = path;
    const absl::StatusOr<std::unique_ptr<PosixFile>> file =
        OpenNamedFile(base, path, request_.named_files);
    if (!file.ok()) return;
    absl::StatusOr<HeaderLook> look = LookAtFile(**file);
    if (!look.ok()) return;
    if (look->look != Look::kImage && format != "qcow2") return;
    candidate.identity = IdentityOf(**file);
    candidate.look = *std::move(look);
    Add(std::move(candidate));
  }

  const FindRequest& request_;
  std::vector<Candidate> candidates_;
  std::map<Identity, size_t> index_of_;
  std::set<Identity> guest_data_;
  FoundImages found_;
};

}  // namespace

FleetImage NamedImage(const std::string& argument) {
  FleetImage image = {.path = ShownAddress(argument)};
  if (IsNbdAddress(argument)) image.address = argument;
  return image;
}

FoundImages FindImages(const FindRequest& request) {
  return Finder(request).Find();
}

absl::StatusOr<std::unique_ptr<PosixFile>> OpenFound(const FleetImage& image) {
  if (image.root.empty()) return PosixFile::Open(image.path);
  ASSIGN_OR_RETURN(FileInTree opened, OpenInTree(image.root, image.relative));
  return std::move(opened.file);
}

}  // namespace qcow2::cli
