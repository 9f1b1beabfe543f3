"""The analyze stage: tests, charts and the report of a finished measurement."""

from __future__ import annotations

import time

from analyses.settings.analysis import SettingsError
from engine.config import Config
from engine.errors import ConfigError, InputError, RunFailedError
from engine.storage.run_directory import RunDirectory


def analyze_run(config: Config, run_dir: RunDirectory) -> None:
    """Test, draw and report a finished measurement, with the analysis settings of this config."""
    from analyses.reporting.terminal import analysis_bar, print_summary
    from analyses.reporting.write import STEPS, analyze
    from analyses.runs.units import DamagedRunError
    from engine.storage.identity import adopt_analysis_settings, record_timing

    if not run_dir.is_published():
        raise RunFailedError(
            f"{run_dir.root}: holds no finished measurement (_SUCCESS is missing); run --stage collect."
        )
    adopt_analysis_settings(config, run_dir)
    started = time.perf_counter()
    try:
        with analysis_bar(STEPS) as watch:
            result = analyze(run_dir.root, watch=watch)
    except SettingsError as error:
        raise ConfigError(f"{error}.") from None
    except DamagedRunError as error:
        raise InputError(f"{error}") from None
    except Exception as error:
        raise RunFailedError(
            f"{run_dir.root}: the analysis failed: {' '.join(str(error).split()) or type(error).__name__} The "
            f"measurement is complete and kept; mend this and run --stage analyze."
        ) from error
    record_timing(run_dir, "analyze_seconds", time.perf_counter() - started)
    print_summary(result.facts, result.headlines, result.report, partial=result.partial)
    print(f"Report: {result.report}")
