/* What the kernel side and Swift share: one layout header per tool. */
#pragma once
#include "probe_images.h"
