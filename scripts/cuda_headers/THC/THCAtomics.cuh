// mmcv 2.1.0 includes this name, which later versions of torch dropped for the one below.
#pragma once
#include <ATen/cuda/Atomic.cuh>
