"""scikit-learn's own checks."""

from sklearn.utils.estimator_checks import parametrize_with_checks

from sr import SymbolicRegressor


@parametrize_with_checks([SymbolicRegressor()])
def test_check_estimator(estimator, check):
    check(estimator)
