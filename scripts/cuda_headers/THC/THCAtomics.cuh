// mmcv 2.1.0 includes this name, which not every version of torch has; what it held is in the one below.
#pragma once
#include <ATen/cuda/Atomic.cuh>
