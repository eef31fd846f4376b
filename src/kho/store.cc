#include "kho/store.h"

#include <utility>

namespace outlive::kho {

bool store_hook_armed = false;

namespace {
std::function<void()>& hook() {
  static std::function<void()> function;
  return function;
}
}  // namespace

void run_store_hook() {
  hook()();
}

void set_store_hook(std::function<void()> function) {
  hook() = std::move(function);
  store_hook_armed = hook() != nullptr;
}

}  // namespace outlive::kho
