"""Measured rows of microcontrollers: MLPerf Tiny, the STM32 model zoo, TinyEngine's table."""
