"""Assignment of the operators of a network to the engines of one or several devices."""

from perfmodel.schedule.assign.assignment import Assignment
from perfmodel.schedule.assign.device_assignment import DeviceAssignment
from perfmodel.schedule.assign.problem import AssignmentProblem
from perfmodel.schedule.assign.run import assign
from perfmodel.schedule.assign.solve import solve

__all__ = [
    "Assignment",
    "AssignmentProblem",
    "DeviceAssignment",
    "assign",
    "solve",
]
