"""Judging: metrics against plain counting, gaps, regressions, slices and errors."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix

from tests.data_tests.cases import answers, manifest, rows, suite
from tinyrefinery.data_tests.judge import judge
from tinyrefinery.data_tests.rows import rows_of
from tinyrefinery.data_tests.verdicts import Verdict
from tinyrefinery.evaluation.prediction_table import ModelPredictions
from tinyrefinery.statistics import proportions

ROWS = rows()
THREE = ("cat", "dog", "fox")


@given(st.integers(0, 2**32 - 1))
def test_metrics_are_those_of_the_confusion_matrix(seed):
    random = np.random.default_rng(seed)
    data = rows(200, THREE, label=random.integers(0, 3, 200))
    said = ModelPredictions("network", random.dirichlet(np.ones(3), 200).astype(np.float32))
    matrix = confusion_matrix(data.labels, said.probabilities.argmax(1), labels=range(3))
    metrics = ["accuracy", "recall(dog)", "precision(dog)", "false_positive_rate(dog)", "errors"]
    tests = {f"t{i}": {"metric": m, "at_most": 1} for i, m in enumerate(metrics)}
    found = [each.measured for each in judge(suite(tests), data, said)]
    hits, others = matrix[1, 1], np.array([0, 2])
    false = matrix[others, 1].sum()
    expected = [
        (np.trace(matrix), 200),
        (hits, matrix[1].sum()),
        (hits, matrix[:, 1].sum()),
        (false, matrix[others].sum()),
        (200 - np.trace(matrix), 200),
    ]
    assert [(each.hits, each.n) for each in found] == expected


def test_a_threshold():
    data = rows(100)
    said = answers(data, sure=0.6)
    for threshold, hits in ((0.5, 50), (0.6, 50), (0.7, 0)):
        test = {"metric": "recall(person)", "threshold": threshold, "at_least": 0.5}
        (result,) = judge(suite({"it": test}), data, said)
        assert result.measured.hits == hits


def test_every_class_in_turn():
    data = rows(300, THREE)
    results = judge(
        suite({"it": {"metric": "recall(*)", "at_least": 0.5}}),
        data,
        answers(data, range(1, 300, 3)),
    )
    assert [each.name for each in results] == ["it[cat]", "it[dog]", "it[fox]"]
    assert [each.measured.value for each in results] == [1, 0, 1]
    assert [each.verdict for each in results] == ["PASS", "FAIL", "PASS"]


def test_flips_are_counted_against_the_undisturbed_images():
    clean, changed = answers(ROWS, range(10)), answers(ROWS, range(4, 30))
    said = ModelPredictions("network", clean.probabilities, {"gain 0.5": changed.probabilities})
    tests = {
        "flips": {"perturb": {"gain": 0.5}, "metric": "flip_rate", "at_most": 0.5},
        "right": {"perturb": {"gain": 0.5}, "at_least": 0.5},
        "clean": {"at_least": 0.5},
    }
    flips, right, undisturbed = judge(suite(tests), ROWS, said)
    assert flips.measured.hits == 4 + 20  # 0-3 and 10-29 answer otherwise
    assert right.measured.hits == 400 - 26
    assert undisturbed.measured.hits == 390


def gap_test(**changes):
    compare = {"near": "d < 5", "far": "d >= 5"}
    return {"compare": compare, "max_gap": 0.1, **changes}


@pytest.mark.parametrize(
    ("wrong", "verdict", "noise"),
    [
        ([], "PASS", False),
        (range(0, 300, 15), "PASS", False),  # ten of each
        (range(0, 60, 2), "UNPROVEN", False),
        (range(0, 84, 2), "FAIL", True),
        (range(0, 200, 2), "FAIL", False),
    ],
)
def test_gap(wrong, verdict, noise):
    data = rows(800, d=[float(i % 2 * 10) for i in range(800)])
    (result,) = judge(suite({"it": gap_test()}), data, answers(data, wrong))
    near = 400 - sum(i % 2 == 0 for i in wrong), 400
    far = 400 - sum(i % 2 == 1 for i in wrong), 400
    assert result.measured.interval == proportions.newcombe((near[0], far[0]), (near[1], far[1]))
    assert (result.verdict, result.within_noise) == (verdict, noise)
    assert [(p.name, p.measured.hits) for p in result.parts] == [("near", near[0]), ("far", far[0])]


@pytest.mark.parametrize(
    ("part", "metric", "verdict"),
    [
        ("near", "accuracy", "FAIL"),  # near: 200 of 400 right, far: 400 of 400
        ("far", "accuracy", "PASS"),
        (None, "accuracy", "FAIL"),
        ("near", "false_positive_rate(person)", "FAIL"),
        ("far", "false_positive_rate(person)", "PASS"),
    ],
)
def test_a_one_sided_gap_fails_only_where_its_part_is_worse(part, metric, verdict):
    data = rows(800, label=np.zeros(800, int), d=[float(i % 2 * 10) for i in range(800)])
    test = gap_test(metric=metric, not_worse=part)
    (result,) = judge(suite({"it": test}), data, answers(data, range(0, 400, 2)))
    assert result.verdict == verdict
    assert result.remark.startswith("near minus far")
    assert result.need == ("gap <= 0.1" if part is None else "loss <= 0.1")


def test_of_several_parts_only_the_named_one_is_compared():
    data = rows(900, d=[float(i % 3) for i in range(900)])
    compare = {"a": "d = 0", "b": "d = 1", "c": "d = 2"}
    test = {"compare": compare, "max_gap": 0.1, "not_worse": "a"}
    (result,) = judge(suite({"it": test}), data, answers(data, range(1, 900, 3)))  # b is all wrong
    assert result.verdict == "PASS"


def test_a_gap_as_wide_as_the_bound_is_not_beyond_it():
    data = rows(20, d=[float(i % 2 * 10) for i in range(20)])
    wrong = [0, 2, 1, 3, 5]  # .8 against .7, whose difference computes to more than .1
    (result,) = judge(suite({"it": gap_test(min_n=5)}), data, answers(data, wrong))
    assert result.measured.value > 0.1
    assert result.verdict == "UNPROVEN"


def test_the_widest_of_several_gaps_counts_at_a_stricter_confidence():
    data = rows(900, d=[float(i % 3) for i in range(900)])
    compare = {"a": "d = 0", "b": "d = 1", "c": "d = 2"}
    wrong = [*range(0, 60, 3), *range(1, 150, 3)]
    test = {"compare": compare, "max_gap": 0.1}
    (result,) = judge(suite({"it": test}), data, answers(data, wrong))
    assert result.remark.startswith("b minus c")
    expected = proportions.newcombe((250, 300), (300, 300), 1 - 0.05 / 3)
    assert result.measured.interval == expected


def test_a_small_slice_keeps_two_large_ones_from_passing():
    """The widest gap, of the large slices, is proven small; that of the small one is not."""
    data = rows(8080, d=[float(i % 2 if i < 8000 else 2) for i in range(8080)])
    compare = {"a": "d = 0", "b": "d = 1", "c": "d = 2"}
    wrong = [*range(0, 2400, 2), *range(1, 2000, 2), *range(8000, 8023)]
    test = {"compare": compare, "max_gap": 0.1, "metric": "accuracy"}
    large = {"compare": {"a": "d = 0", "b": "d = 1"}, "max_gap": 0.1}
    three, two = judge(suite({"three": test, "two": large}), data, answers(data, wrong))
    assert [round(part.measured.value, 3) for part in three.parts] == [0.7, 0.75, 0.713]
    assert two.verdict == "PASS"
    assert three.verdict == "UNPROVEN"
    assert three.remark.startswith("b minus c")


def test_a_gap_of_few_images_and_of_shared_ones():
    data = rows(60, d=[float(i % 2 * 10) for i in range(60)])
    (result,) = judge(suite({"it": gap_test()}), data, answers(data))
    assert (result.verdict, result.remark.split("; ")[1]) == (
        "TOO FEW",
        "30 of 50 images in the smaller slice",
    )
    (result,) = judge(
        suite({"it": gap_test(compare={"a": "d < 5", "b": "d < 20"})}), data, answers(data)
    )
    assert result.verdict is Verdict.ERROR
    assert "'a' and 'b' share 30 images" in result.remark
    (result,) = judge(
        suite({"it": gap_test(compare={"a": "d < 5", "b": "d > 50"})}), data, answers(data)
    )
    assert "compare.b: accuracy counts no image of this slice" in result.remark


def regression(lost, gained, bound=0.0, n=400, **rest):
    data = rows(n)
    base = answers(data, range(lost, lost + gained), name="shipped")
    new = answers(data, range(lost), name="new")
    tests = {"it": {"max_regression": bound}, **rest}
    return judge(suite(tests), data, new, base)


@pytest.mark.parametrize(
    ("lost", "gained", "bound", "verdict"),
    [
        (0, 0, 0.0, "PASS"),
        (10, 20, 0.0, "PASS"),
        (20, 20, 0.0, "PASS"),
        (6, 1, 0.0, "UNPROVEN"),  # p = 0.125
        (20, 4, 0.0, "FAIL"),  # p = 0.0015
        (20, 4, 0.05, "UNPROVEN"),  # 0.04, interval to 0.066
        (8, 4, 0.05, "PASS"),
        (60, 4, 0.05, "FAIL"),
    ],
)
def test_regression(lost, gained, bound, verdict):
    (result,) = regression(lost, gained, bound)
    assert result.verdict == verdict
    assert result.measured.value == pytest.approx((lost - gained) / 400)
    assert result.p_value == pytest.approx(proportions.mcnemar(lost, gained))
    assert f"{lost} images lost, {gained} gained" in result.remark
    assert sorted(result.worst) == list(range(lost))[: len(result.worst)]
    expected = proportions.newcombe_paired(400 - lost - gained, lost, gained, 0)
    assert result.measured.interval == pytest.approx(expected)


def test_many_regression_tests_are_corrected_together():
    alone = regression(14, 4)[0]
    assert (alone.verdict, round(alone.p_value, 3)) == ("FAIL", 0.031)
    both = regression(14, 4, other={"max_regression": 0.0})
    assert [each.verdict for each in both] == ["UNPROVEN", "UNPROVEN"]
    assert both[0].p_value == pytest.approx(2 * alone.p_value)


def test_a_regression_in_what_should_be_rare():
    data = rows(400)
    base, new = answers(data), answers(data, range(0, 40, 2))
    test = {"metric": "false_positive_rate(person)", "max_regression": 0.0}
    (result,) = judge(suite({"it": test}), data, new, base)
    assert (result.verdict, result.measured.value) == ("FAIL", 0.1)


def test_a_regression_without_a_baseline_is_an_error():
    (result,) = judge(suite({"it": {"max_regression": 0.0}}), ROWS, answers(ROWS))
    assert result.verdict is Verdict.ERROR
    assert "--baseline" in result.remark


def test_the_baseline_stands_beside_every_test():
    (result,) = judge(
        suite({"it": {"at_least": 0.5}}), ROWS, answers(ROWS, range(4)), answers(ROWS, range(100))
    )
    assert result.baseline.value == 0.75
    assert result.change_p < 1e-20


def test_slices_by_expression_folder_pattern_and_list(tmp_path):
    (tmp_path / "bug.txt").write_text(
        f"# customer's\nphotos/coats/0004.jpg\nrooms/0001.jpg\nsha256:{2:064x}\n{3:064x}\n\n"
    )
    tests = {
        "where": {"where": "label = 'person' AND path LIKE '%coats%'"},
        "folder": {"images": "photos/coats"},
        "folders": {"images": ["coats/", "rooms"]},
        "pattern": {"images": "coats/**/*4.jpg"},
        "list": {"list": "bug.txt", "metric": "errors", "at_most": 0, "min_n": 1},
        "both": {"images": "rooms", "where": "label = 'person'"},
    }
    tests = {name: {"at_least": 0.5} | test for name, test in tests.items()}
    tests["list"].pop("at_least")
    results = {each.name: each for each in judge(suite(tests), ROWS, answers(ROWS), home=tmp_path)}
    assert results["where"].verdict is Verdict.ERROR  # coats are even, persons odd
    assert {name: each.measured.n for name, each in results.items() if each.measured} == {
        "folder": 100,
        "folders": 400,
        "pattern": 20,
        "list": 4,
        "both": 200,
    }


@pytest.mark.parametrize(
    ("test", "said"),
    [
        ({"where": "label = 'nobody'"}, "the slice is empty: 400 in split 'test', 0 of them where"),
        ({"images": "nowhere/"}, "0 of them under nowhere/"),
        (
            {"split": "train"},
            "the slice is empty: 0 in split 'train'. The data has 400 in 'test': set split in the "
            "test or under defaults",
        ),
        ({"where": "lable = 'x'"}, "Did you mean 'label'"),
        ({"metric": "recall(persn)"}, "no class is named 'persn'. Did you mean 'person'?"),
        ({"label": "persn"}, "no class is named 'persn'"),
        ({"list": "missing.txt"}, "can't be read"),
        ({"where": "label = 'person'", "metric": "false_positive_rate(person)"}, "every image"),
        ({"where": "label = 'no_person'", "metric": "recall(person)"}, "none is labeled 'person'"),
        ({"where": "path > 3"}, "path, which is text, to 3"),
    ],
)
def test_what_can_not_be_judged_is_an_error_and_the_others_go_on(test, said, tmp_path):
    tests = {"bad": {"at_least": 0.5, **test}, "good": {"at_least": 0.5}}
    bad, good = judge(suite(tests), ROWS, answers(ROWS), home=tmp_path)
    assert bad.verdict is Verdict.ERROR
    assert said in bad.remark
    assert good.verdict is Verdict.PASS
    assert "too hard" not in bad.remark  # of which there are none


def test_lists_that_are_wrong(tmp_path):
    for text, said in (
        ("", "has no image"),
        ("photos/coats/9999.jpg\n", "1 of 1 images are not"),
    ):
        (tmp_path / "list.txt").write_text(text)
        tests = {"it": {"list": "list.txt", "at_least": 0.5}}
        (result,) = judge(suite(tests), ROWS, answers(ROWS), home=tmp_path)
        assert said in result.remark


def test_an_image_that_stands_twice_counts_once():
    ids = [f"{i // 2:064x}" for i in range(100)]
    labels = [0] * 98 + [0, 1]
    data = rows_of(manifest(100, id=ids, label=labels))
    (result,) = judge(suite({"it": {"at_least": 0.5}}), data, answers(data))
    assert result.measured.n == 51  # 50 images, one of them with two labels


def test_a_label_for_all():
    test = {"images": "coats", "label": "person", "metric": "recall(person)", "at_least": 0.1}
    (result,) = judge(suite({"it": test}), ROWS, answers(ROWS))
    assert result.measured.n == 100
    assert result.measured.hits == 0  # coats are no_person, and the network says so


def test_the_surest_mistakes_come_first():
    said = answers(ROWS, [7, 20, 30])
    for row, sure in ((7, 0.6), (20, 0.99), (30, 0.8)):
        said.probabilities[row] = 1 - sure
        said.probabilities[row, 1 - ROWS.labels[row]] = sure
    (result,) = judge(suite({"it": {"at_least": 0.5}}), ROWS, said)
    assert result.worst == (20, 30, 7)


def test_rows_without_predictions():
    said = answers(ROWS)
    said.probabilities[3] = np.nan
    (result,) = judge(suite({"it": {"at_least": 0.5}}), ROWS, said)
    assert (result.verdict, "no predictions for 1 images" in result.remark) == ("ERROR", True)
