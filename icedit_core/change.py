import torch
def changed(left,right,source,threshold=1.0):
    return ((left-right).abs().amax(-1)>0.06*threshold).float()
