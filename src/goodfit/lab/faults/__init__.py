"""The fault lab: faults planted in networks on real data and labelled by what mends them, to judge the checks by."""
