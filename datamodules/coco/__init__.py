"""MSCOCO's hands: COCO-WholeBody's keypoints, COCO's captions, NeuralAnnot's MANO parameters."""
