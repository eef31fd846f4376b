#include "luo/fsck.h"

#include <unistd.h>

#include "kho/image_copy.h"
#include "luo/format.h"
#include "luo/fsck_image.h"
#include "luo/fsck_test.h"

namespace outlive::luo {
namespace {

struct Damage {
  const char* says;
  bool derived;  // what an image's repair puts right
  std::function<void(FsckWorld&)> make;
};

uint64_t& word(FsckWorld& w, uint64_t address) {
  return *reinterpret_cast<uint64_t*>(w.arena->at(kho::Phys{address}, 8));
}

// What a living outlived and an image are searched for alike.
const std::vector<Damage>& damages() {
  static const std::vector<Damage> list = {
      {"no record names it: leaked", true,
       [](FsckWorld& w) { EXPECT_TRUE(w.arena->alloc_preserve(10, abi::kOwnerService)); }},
      {"no record names it: leaked", true,
       [](FsckWorld& w) { EXPECT_TRUE(w.arena->alloc_preserve(10, abi::kOwnerClients)); }},
      {"no record names it: leaked", true,
       [](FsckWorld& w) { EXPECT_TRUE(w.arena->alloc_preserve(10, abi::kOwnerTimeline)); }},
      {"leaked", true,
       [](FsckWorld& w) { EXPECT_TRUE(w.arena->alloc_preserve(10, abi::kOwnerRecords)); }},
      {"has no records in this version", false,
       [](FsckWorld& w) { EXPECT_TRUE(w.arena->alloc_preserve(10, abi::kOwnerFirstUser)); }},
      {"not zero", true, [](FsckWorld& w) { w.free_slot(abi::PoolKind::kFile).id = 77; }},
      {"begun and never committed", true,
       [](FsckWorld& w) {
         w.free_slot(abi::PoolKind::kSession).id = 77;
         w.free_slot(abi::PoolKind::kSession).state = 1;
       }},
      {"half removed", true,
       [](FsckWorld& w) {
         w.free_slot(abi::PoolKind::kUpdate).id = 77;
         w.free_slot(abi::PoolKind::kUpdate).state = 3;
       }},
      {"redo list", true,
       [](FsckWorld& w) { word(w, w.core->records().root().redo_list + 2000) = 5; }},
      {"two records name it", false,
       [](FsckWorld& w) { w.first<abi::ConnectionSlot>().fd = w.first<abi::FileSlot>().fd; }},
      {"the session it holds is no record", false,
       [](FsckWorld& w) { w.first<abi::ConnectionSlot>().session = 4096; }},
      {"its service is no record", false,
       [](FsckWorld& w) { w.first<abi::ConnectionSlot>().service = 4096; }},
      {"no file holds it", false,
       [](FsckWorld& w) {
         w.alter([](Change& change) {
           strcpy(change.add<abi::FlbSlot>().take()->compatible, "lonely");
         });
       }},
  };
  return list;
}

TEST(Fsck, CleanWorld) {
  FsckWorld w;
  const Findings findings = w.look();
  EXPECT_TRUE(findings.clean()) << all(findings);
  EXPECT_EQ(findings.sessions, 2u);
  EXPECT_EQ(findings.files, 3u);
  EXPECT_EQ(findings.fds, 4u);
}

TEST(Fsck, FindsDamageLive) {
  for (const Damage& damage : damages()) {
    SCOPED_TRACE(damage.says);
    FsckWorld w;
    damage.make(w);
    const Findings findings = w.look();
    EXPECT_TRUE(says(findings, damage.says, damage.derived)) << all(findings);
  }
}

TEST(Fsck, FindsDamageOfWhatOnlyALivingOneHas) {
  const std::vector<Damage> list = {
      {"it is not open", false, [](FsckWorld& w) { w.fds.open.erase(900); }},
      {"its session is no record", true,
       [](FsckWorld& w) { w.first<abi::FileSlot>().session = 4096; }},
      {"in the index only", true,
       [](FsckWorld& w) { w.core->sessions().find({}, "a")->slot->header.state = 0; }},
      {"another owner or name", true,
       [](FsckWorld& w) { w.core->sessions().find({}, "a")->slot->uid = 5; }},
      {"a holder is no connection", true,
       [](FsckWorld& w) {
         w.core->sessions().hold(*w.core->sessions().find({}, "a"), {4096, 0});
       }},
      {"not in the session's index", true,
       [](FsckWorld& w) {
         w.core->sessions().find({}, "a")->files.remove(w.first<abi::FileSlot>());
       }},
      {"holders are counted", true, [](FsckWorld& w) { w.first<abi::FileSlot>().flb = 0; }},
      {"its global state is no record", false,
       [](FsckWorld& w) { w.first<abi::FileSlot>().flb = 4096; }},
      {"are counted", true, [](FsckWorld& w) { w.first<abi::ClientSubtreeSlot>().size += 1; }},
      {"its service is no record", false,
       [](FsckWorld& w) { w.first<abi::UpdateSlot>().service = 4096; }},
      {"its active update is no record", false,
       [](FsckWorld& w) { w.first<abi::ServiceSlot>().active_update = 4096; }},
      {"not preserved", false,
       [](FsckWorld& w) {
         w.arena->restore_free(kho::Phys{w.first<abi::ClientSubtreeSlot>().address});
       }},
  };
  for (const Damage& damage : list) {
    SCOPED_TRACE(damage.says);
    FsckWorld w;
    damage.make(w);
    const Findings findings = w.look();
    EXPECT_TRUE(says(findings, damage.says, damage.derived)) << all(findings);
  }
}

TEST(Fsck, FindsFdsThatNobodyNames) {
  FsckWorld w;
  Findings findings;
  const auto describe = [](BorrowedFd) { return std::string("a pipe"); };
  std::vector<BorrowedFd> open = w.core->named_fds();
  open.emplace_back(3);
  fsck_fds(*w.core, open, {BorrowedFd(3)}, describe, findings);
  EXPECT_TRUE(findings.clean()) << all(findings);
  open.emplace_back(77);
  fsck_fds(*w.core, open, {BorrowedFd(3)}, describe, findings);
  EXPECT_TRUE(says(findings, "fd 77 (a pipe)", true)) << all(findings);
  EXPECT_EQ(findings.lines.size(), 1u);
}

TEST(Fsck, KernelFormatIsAccountedAndGoesWithTheFirstFileThatGoes) {
  FsckWorld w;
  ASSERT_TRUE(write_kernel_format(*w.core));
  EXPECT_TRUE(w.look().clean()) << all(w.look());
  EXPECT_TRUE(w.core->fdt().find_subtree(abi::kSubtreeLuo));
  w.remove(*w.core->sessions().find({}, "a"), {2});
  EXPECT_FALSE(w.core->fdt().find_subtree(abi::kSubtreeLuo));
  EXPECT_EQ(w.arena->pages_of(abi::kOwnerLuoFormat), 0u);
  EXPECT_TRUE(w.look().clean()) << all(w.look());
}

// ---- images -------------------------------------------------------------------------------------

class ImageFile {
 public:
  explicit ImageFile(BorrowedFd from) {
    EXPECT_NE(::mkdtemp(folder_), nullptr);
    path = std::string(folder_) + "/image";
    EXPECT_TRUE(kho::save_image(from, path));
  }
  ~ImageFile() {
    for (const char* more : {"", ".before-repair", ".repaired"}) ::unlink((path + more).c_str());
    ::rmdir(folder_);
  }
  UniqueFd open() const { return sys::open(path, O_RDONLY).take(); }
  bool exists(const char* more) const { return ::access((path + more).c_str(), F_OK) == 0; }
  std::string bytes(const char* more = "") const {
    return sys::read_file(path + more, 64 << 20).take();
  }
  std::string path;

 private:
  char folder_[32] = "/tmp/outlive-fsck-XXXXXX";
};

TEST(FsckImage, CleanImage) {
  FsckWorld w;
  const ImageFile image(w.file);
  const std::string before = image.bytes();
  const ImageFsck looked = fsck_image(image.open(), w.context()).take();
  EXPECT_TRUE(looked.findings.clean()) << all(looked.findings);
  EXPECT_EQ(looked.findings.files, 3u);
  EXPECT_EQ(repair_image(image.path, w.context()).take().saved, "");
  EXPECT_EQ(image.bytes(), before);
  EXPECT_FALSE(image.exists(".before-repair"));
}

TEST(FsckImage, EveryDamageIsFoundAndWhatIsDerivedIsRepaired) {
  for (const Damage& damage : damages()) {
    SCOPED_TRACE(damage.says);
    FsckWorld w;
    damage.make(w);
    const ImageFile image(w.file);
    const std::string before = image.bytes();
    const ImageFsck looked = fsck_image(image.open(), w.context()).take();
    EXPECT_TRUE(says(looked.findings, damage.says, damage.derived)) << all(looked.findings);
    EXPECT_EQ(image.bytes(), before) << "a look must not change it";
    const Repair repair = repair_image(image.path, w.context()).take();
    if (!damage.derived) {
      EXPECT_EQ(repair.repaired, 0u);
      EXPECT_EQ(image.bytes(), before);
      continue;
    }
    EXPECT_EQ(repair.repaired, looked.findings.lines.size());
    EXPECT_EQ(image.bytes(".before-repair"), before);
    EXPECT_FALSE(image.exists(".repaired"));
    const ImageFsck after = fsck_image(image.open(), w.context()).take();
    EXPECT_TRUE(after.findings.clean()) << all(after.findings);
    EXPECT_EQ(after.findings.files, 3u);
    EXPECT_EQ(after.findings.sessions, 2u);
  }
}

TEST(FsckImage, ACommittedChangeThatWasNotAppliedIsApplied) {
  FsckWorld w;
  std::vector<FileImage> images;
  kho::set_store_hook(
      [&](std::byte*, size_t) { images.push_back(FileImage::take(w.arena->view())); });
  w.session("c");
  kho::set_store_hook({});
  uint64_t applied = 0;
  for (const FileImage& at : images) {
    const ImageFile image(at.file());
    const Repair repair = repair_image(image.path, w.context()).take();
    const bool late = says(repair.before.findings, "a committed change was not applied", true);
    applied += late;
    const ImageFsck after = fsck_image(image.open(), w.context()).take();
    EXPECT_TRUE(after.findings.clean()) << all(after.findings);
    EXPECT_TRUE(!late || after.findings.sessions == 3);
  }
  EXPECT_GT(applied, 0u);
}

TEST(FsckImage, ARefusedImageIsOneFindingAndIsLeft) {
  FsckWorld w;
  strcpy(w.core->records().root().compatible, "outlive-records-v99");
  const ImageFile image(w.file);
  const std::string before = image.bytes();
  const Repair repair = repair_image(image.path, w.context()).take();
  EXPECT_TRUE(repair.before.refused);
  EXPECT_TRUE(says(repair.before.findings, "outlive-records-v99", false));
  EXPECT_EQ(image.bytes(), before);
  EXPECT_FALSE(image.exists(".before-repair"));
}

TEST(FsckImage, RepairNeverOverwritesWhatWasSavedBefore) {
  FsckWorld w;
  EXPECT_TRUE(w.arena->alloc_preserve(10, abi::kOwnerService));
  const ImageFile image(w.file);
  const std::string before = image.bytes();
  ASSERT_TRUE(sys::write_file(image.path + ".before-repair", "mine"));
  EXPECT_EQ(repair_image(image.path, w.context()).error().code, EEXIST);
  EXPECT_EQ(image.bytes(".before-repair"), "mine");
  EXPECT_EQ(image.bytes(), before);
}

}  // namespace
}  // namespace outlive::luo
