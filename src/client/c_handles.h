// What the opaque handles of outlive.h are.
#pragma once

#include <memory>

#include "client/client.h"
#include "client/preview.h"
#include "client/session.h"

struct outlive_client {
  std::unique_ptr<outlive::client::Client> client;
  bool doomed = false;  // disconnected from within a callback
};

struct outlive_session {
  std::unique_ptr<outlive::client::Session> session;
};

struct outlive_preview {
  outlive_client* client;
  std::unique_ptr<outlive::client::Preview> preview;
};
