#!/bin/bash
# The native step of _tensorflow,_fix-input-shape: gives the frozen graph a fixed input shape.
rm -f resnet50_v1.pb
"${CM_RESNET50_RUN_PYTHON}" -m cmx_resnet50 reshape \
  "${CM_RESNET50_RUN_ORIGINAL}" resnet50_v1.pb --batch "${CM_RESNET50_RUN_BATCH}"
