/* {{ title }}
   The bytes of {{ file }}, SHA-256 {{ sha256 }}. */
#ifndef CLASSIFIER_MODEL_DATA_H_
#define CLASSIFIER_MODEL_DATA_H_

#define CLASSIFIER_MODEL_BYTES {{ bytes }}

#ifdef __cplusplus
extern "C" {
#endif

extern const unsigned char classifier_model[CLASSIFIER_MODEL_BYTES];

#ifdef __cplusplus
}
#endif

#endif /* CLASSIFIER_MODEL_DATA_H_ */
