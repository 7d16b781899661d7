// {{ title }}
// Runs the network by LiteRT for Microcontrollers. No heap is used.
#include "classifier.h"

#include <stddef.h>
#include <string.h>

#include <new>

#include "model_data.h"
#include "tensorflow/lite/micro/micro_interpreter.h"
#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"
#include "tensorflow/lite/schema/schema_generated.h"

const char* const classifier_names[CLASSIFIER_CLASSES] = {
{% for name in classes %}
    {{ string(name) }},
{% endfor %}
};

namespace {

alignas(16) uint8_t arena[CLASSIFIER_ARENA_BYTES];
// The interpreter is built in place by classifier_open, so that nothing runs before main.
alignas(tflite::MicroInterpreter) unsigned char place[sizeof(tflite::MicroInterpreter)];
tflite::MicroInterpreter* interpreter = nullptr;
tflite::MicroMutableOpResolver<{{ methods | length }}> operators;

bool register_operators() {
{% for method in methods %}
  if (operators.{{ method }}() != kTfLiteOk) return false;
{% endfor %}
  return true;
}

float output_value(const TfLiteTensor& tensor, int place_of_class) {
  switch (tensor.type) {
    case kTfLiteFloat32:
      return tensor.data.f[place_of_class];
    case kTfLiteInt8:
      return static_cast<float>(tensor.data.int8[place_of_class] - tensor.params.zero_point) *
             tensor.params.scale;
    default:
      return static_cast<float>(tensor.data.uint8[place_of_class] - tensor.params.zero_point) *
             tensor.params.scale;
  }
}

bool is_as_stated(const TfLiteTensor& input, const TfLiteTensor& output) {
  const size_t values = static_cast<size_t>(CLASSIFIER_IMAGE_VALUES);
  const size_t classes = static_cast<size_t>(CLASSIFIER_CLASSES);
  const bool is_known = output.type == kTfLiteFloat32 || output.type == kTfLiteInt8 ||
                        output.type == kTfLiteUInt8;
  const size_t wide = output.type == kTfLiteFloat32 ? sizeof(float) : 1;
  return is_known && input.bytes == values * sizeof(classifier_value) &&
         output.bytes == classes * wide;
}

}  // namespace

int classifier_open(void) {
  if (interpreter != nullptr) return CLASSIFIER_OK;
  const tflite::Model* model = tflite::GetModel(classifier_model);
  if (model->version() != TFLITE_SCHEMA_VERSION) return CLASSIFIER_WRONG_SCHEMA;
  if (!register_operators()) return CLASSIFIER_NO_OPERATOR;
  auto* built =
      new (place) tflite::MicroInterpreter(model, operators, arena, CLASSIFIER_ARENA_BYTES);
  if (built->AllocateTensors() != kTfLiteOk) return CLASSIFIER_ARENA_TOO_SMALL;
  if (!is_as_stated(*built->input(0), *built->output(0))) return CLASSIFIER_WRONG_MODEL;
  interpreter = built;
  return CLASSIFIER_OK;
}

int classifier_run(const classifier_value* image, float* outputs) {
  if (interpreter == nullptr) return CLASSIFIER_NOT_OPEN;
  TfLiteTensor* input = interpreter->input(0);
  memcpy(input->data.raw, image, input->bytes);
  if (interpreter->Invoke() != kTfLiteOk) return CLASSIFIER_RUN_FAILED;
  for (int i = 0; i < CLASSIFIER_CLASSES; ++i) {
    outputs[i] = output_value(*interpreter->output(0), i);
  }
  return CLASSIFIER_OK;
}

unsigned long classifier_arena_used(void) {
  return interpreter == nullptr ? 0 : static_cast<unsigned long>(interpreter->arena_used_bytes());
}
