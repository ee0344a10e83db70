// SPDX-License-Identifier: Apache-2.0
/* What the kernel side and Swift share: one layout header per tool. */
#pragma once
#include "execsnoop.h"
#include "exitsnoop.h"
#include "filter.h"
#include "events.h"
#include "funclatency.h"
#include "generic.h"
#include "histogram.h"
#include "loss.h"
#include "offcputime.h"
#include "opensnoop.h"
#include "pieces.h"
#include "probe_images.h"
#include "profile.h"
#include "runqlat.h"
#include "stack.h"
#include "syscount.h"
