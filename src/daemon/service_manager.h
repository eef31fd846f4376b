// What outlived tells the service manager that started it (sd_notify(3)), if one did: a datagram to
// $NOTIFY_SOCKET. It comes from the worker, so the unit needs NotifyAccess=all.
#pragma once

#include <string_view>

namespace outlive::daemon {

// "READY=1\nMAINPID=7\n" and the like. Never blocks; without a manager nothing happens.
void tell_service_manager(std::string_view text);
// Around a reload: RELOADING=1 with the time (Type=notify-reload asks for it), then READY=1.
void tell_reloading();
void tell_reloaded();

}  // namespace outlive::daemon
