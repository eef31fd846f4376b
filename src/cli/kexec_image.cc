#include "cli/kexec_image.h"

#include "kho/image_copy.h"

namespace outlive::cli {

Result<KexecImage> KexecImage::copy_of(BorrowedFd arena) {
  KexecImage image;
  image.copy_ = TRY(kho::private_copy(arena));
  image.arena_ = TRY(kho::Arena::attach(image.copy_));
  image.fdt_ = std::make_unique<kho::RootFdt>(*image.arena_);
  image.records_ = TRY(luo::Records::attach(*image.arena_, *image.fdt_));
  return image;
}

uint64_t KexecImage::bytes() const {
  return arena_->header().high_water * abi::kPageSize;
}

Status KexecImage::copy_to(BorrowedFd file) const {
  return kho::copy_into(copy_, file, bytes());
}

}  // namespace outlive::cli
