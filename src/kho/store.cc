#include "kho/store.h"

#include <utility>

namespace outlive::kho {

bool store_hook_armed = false;

namespace {
StoreHook& hook() {
  static StoreHook function;
  return function;
}
}  // namespace

void run_store_hook(void* to, size_t n) {
  hook()(static_cast<std::byte*>(to), n);
}

void set_store_hook(StoreHook function) {
  hook() = std::move(function);
  store_hook_armed = hook() != nullptr;
}

}  // namespace outlive::kho
