#include "daemon/image_core.h"

#include "base/clock.h"
#include "files/classify.h"
#include "files/registry_defaults.h"

namespace outlive::daemon {

Result<std::unique_ptr<ImageCore>> ImageCore::attach(BorrowedFd copy) {
  std::unique_ptr<ImageCore> image(new ImageCore());
  image->arena_ = TRY(kho::Arena::attach(copy));
  files::register_default_handlers(image->handlers_);
  luo::Context context;
  context.handlers = &image->handlers_;
  context.clock = &system_clock();
  context.classify = files::classify;
  context.classify_to_preserve = files::classify_to_preserve;
  context.identify = files::identify;
  context.release = [](BorrowedFd) {};
  image->core_ = TRY(luo::Core::attach(*image->arena_, context, image->host_));
  return image;
}

}  // namespace outlive::daemon
