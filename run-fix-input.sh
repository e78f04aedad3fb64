#!/bin/bash
# The native step of _tensorflow,_fix-input-shape: gives the frozen graph a fixed input shape.
"${CM_PYTHON_BIN_WITH_PATH:-python3}" -m cmx_resnet50 reshape \
  "${CM_ML_MODEL_FILE_WITH_PATH}" resnet50_v1.pb --batch "${CM_ML_MODEL_BATCH_SIZE:-1}"
