// All of the C++17 API: a thin layer over outlive.h, header-only. Link liboutlive.
#ifndef OUTLIVE_OUTLIVE_HPP
#define OUTLIVE_OUTLIVE_HPP

#include "outlive/client.hpp"
#include "outlive/memory.hpp"
#include "outlive/offset_ptr.hpp"
#include "outlive/participant.hpp"
#include "outlive/preview.hpp"
#include "outlive/result.hpp"
#include "outlive/session.hpp"
#include "outlive/unique_fd.hpp"

#endif
