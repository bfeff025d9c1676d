/* SPDX-License-Identifier: MIT */
/* cotangent.h - Cotangent: reverse-mode automatic differentiation over tensors, and neural-network
 * modules on top. Every public header, in the order in which they build on each other. */
#ifndef COTANGENT_H
#define COTANGENT_H

#include <cotangent_features.h>

#include <cotangent/tensor/status.h>
#include <cotangent/tensor/allocator.h>
#include <cotangent/tensor/scope.h>
#include <cotangent/tensor/tensor.h>
#include <cotangent/tensor/blob.h>
#include <cotangent/tensor/dlpack.h>
#include <cotangent/tensor/device.h>
#include <cotangent/tensor/config.h>
#include <cotangent/tensor/capture.h>
#include <cotangent/tensor/random.h>
#include <cotangent/tensor/stream.h>
#include <cotangent/tensor/safetensors.h>
#include <cotangent/tensor/npy.h>
#include <cotangent/tensor/file.h>
#include <cotangent/tensor/build_info.h>

#include <cotangent/autograd/autograd.h>
#include <cotangent/autograd/op.h>
#include <cotangent/autograd/ops/activation.h>
#include <cotangent/autograd/ops/compare.h>
#include <cotangent/autograd/ops/divide.h>
#include <cotangent/autograd/ops/einsum.h>
#include <cotangent/autograd/ops/elementwise.h>
#include <cotangent/autograd/ops/reduce.h>
#include <cotangent/autograd/ops/statistics.h>
#include <cotangent/autograd/ops/scan.h>
#include <cotangent/autograd/ops/matmul.h>
#include <cotangent/autograd/ops/trigonometry.h>
#include <cotangent/autograd/ops/views.h>
#include <cotangent/autograd/ops/copy.h>
#include <cotangent/autograd/ops/create.h>
#include <cotangent/autograd/ops/join.h>
#include <cotangent/autograd/ops/rearrange.h>
#include <cotangent/autograd/ops/index.h>
#include <cotangent/autograd/ops/search.h>
#include <cotangent/autograd/ops/softmax.h>
#include <cotangent/autograd/ops/normalise.h>
#include <cotangent/autograd/ops/sort.h>
#include <cotangent/autograd/ops/random.h>
#include <cotangent/autograd/ops/conv.h>
#include <cotangent/autograd/ops/pool.h>
#include <cotangent/autograd/params/params.h>
#include <cotangent/autograd/params/state_dict.h>

#include <cotangent/nn/dialect.h>
#include <cotangent/nn/init.h>
#include <cotangent/nn/module.h>
#include <cotangent/nn/module_list.h>
#include <cotangent/nn/linear.h>
#include <cotangent/nn/state.h>
#include <cotangent/nn/recurrent.h>
#include <cotangent/nn/plan.h>
#include <cotangent/nn/export.h>
#include <cotangent/nn/rnn.h>
#include <cotangent/nn/lstm.h>
#include <cotangent/nn/min_rnn.h>
#include <cotangent/nn/gru.h>
#include <cotangent/nn/sequential.h>
#include <cotangent/nn/embedding.h>
#include <cotangent/nn/dropout.h>
#include <cotangent/nn/layer_norm.h>
#include <cotangent/nn/conv.h>
#include <cotangent/nn/pool.h>
#include <cotangent/nn/rms_norm.h>
#include <cotangent/nn/group_norm.h>
#include <cotangent/nn/batch_norm.h>
#include <cotangent/nn/attention.h>
#include <cotangent/nn/attention_decoder.h>
#include <cotangent/nn/positions.h>
#include <cotangent/nn/transformer.h>
#include <cotangent/nn/generate.h>
#include <cotangent/nn/loss.h>
#include <cotangent/nn/convert.h>

#include <cotangent/data/text.h>
#include <cotangent/data/vocab.h>

#include <cotangent/train/language_model.h>

/* Headers that a library for inference only does not have (configure --enable-inference-only). */
#if !CT_INFERENCE_ONLY
#include <cotangent/autograd/functional.h>
#include <cotangent/autograd/gradcheck.h>
#include <cotangent/autograd/activation_checkpoint.h>
#include <cotangent/autograd/graph.h>

#include <cotangent/optim/optimizer.h>
#include <cotangent/optim/optimizer_table.h>
#include <cotangent/optim/schedule.h>
#include <cotangent/optim/clip.h>

#include <cotangent/data/timemachine.h>
#include <cotangent/data/batch.h>
#include <cotangent/data/dataset.h>
#include <cotangent/data/dataset_files.h>
#include <cotangent/data/loader.h>
#include <cotangent/data/tensor_loader.h>

#include <cotangent/train/plot.h>
#include <cotangent/train/metric.h>
#include <cotangent/train/world.h>
#include <cotangent/train/trainer.h>
#include <cotangent/train/checkpoint.h>
#endif

/* Wrappers that note the caller's file and line for messages. */
#include <cotangent_sites.h>

#endif
