@echo off
rem Sets quart_app up in .venv and serves it: the flags of startup.sh. Windows is for development, best effort.
setlocal enableextensions
cd /d "%~dp0"

set "MODE=%~1"
if "%MODE%"=="" set "MODE=--prod"
if "%MODE%"=="--help" (
    call :usage
    exit /b 0
)
set "KNOWN="
for %%m in (--prod --dev --setup --test) do if "%MODE%"=="%%m" set "KNOWN=1"
if not defined KNOWN (
    echo startup.bat: unknown argument: %MODE% 1>&2
    call :usage 1>&2
    exit /b 64
)
set "ONLY="
set "REST="
if "%MODE%"=="--test" (
    if "%~2"=="--" set "ONLY=1"
)
if defined ONLY (
    for /f "tokens=2* delims= " %%a in ("%*") do set "REST=%%b"
) else if not "%~2"=="" (
    echo startup.bat: unknown argument: %~2 1>&2
    call :usage 1>&2
    exit /b 64
)

set "PY=.venv\Scripts\python.exe"
if not exist "%PY%" (
    call :make_venv
    if errorlevel 1 exit /b 69
)
set "WANTED=requirements.txt"
if "%MODE%"=="--test" set "WANTED=requirements-dev.txt"
call :install
if errorlevel 1 exit /b 69

if "%MODE%"=="--setup" (
    echo startup.bat: ready; start with startup.bat 1>&2
    exit /b 0
)
if "%MODE%"=="--test" goto test
if "%MODE%"=="--dev" (
    if not defined QUART_APP_BIND set "QUART_APP_BIND=127.0.0.1:5000"
    if not defined QUART_APP_LOG_LEVEL set "QUART_APP_LOG_LEVEL=DEBUG"
    "%PY%" startup_dev.py
) else (
    "%PY%" -m quart_app
)
exit /b %errorlevel%

:test
if not defined ONLY (
    "%PY%" -m ruff format --check . || exit /b 1
    "%PY%" -m ruff check . || exit /b 1
    "%PY%" -m mypy || exit /b 1
)
"%PY%" -m pytest %REST%
exit /b %errorlevel%

:make_venv
set "FOUND="
for %%v in (3.13 3.12 3.11) do if not defined FOUND py -%%v -c "import venv, ensurepip" >nul 2>&1 && set "FOUND=py -%%v"
if not defined FOUND python -c "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))" >nul 2>&1 && set "FOUND=python"
if not defined FOUND (
    echo startup.bat: Python 3.11 or newer is missing; install it from python.org with the box "Add to PATH" ticked 1>&2
    exit /b 69
)
%FOUND% -m venv --clear .venv
exit /b %errorlevel%

:install
rem Only when the requirements have changed since the last time.
set "STAMP=.venv\installed-%WANTED%"
copy /b requirements.txt+requirements-dev.txt .venv\wanted.tmp >nul
fc /b .venv\wanted.tmp "%STAMP%" >nul 2>&1 && exit /b 0
echo startup.bat: installing %WANTED% 1>&2
"%PY%" -m pip install --quiet --disable-pip-version-check -r %WANTED%
if errorlevel 1 (
    echo startup.bat: pip could not install %WANTED%; see the lines above 1>&2
    exit /b 69
)
copy /y .venv\wanted.tmp "%STAMP%" >nul
exit /b 0

:usage
echo usage: startup.bat [--prod ^| --dev ^| --setup ^| --test [-- PYTEST ARGUMENTS]]
echo.
echo   (nothing)  set up when needed, then serve on http://127.0.0.1:8000
echo   --prod     the same
echo   --dev      serve on http://127.0.0.1:5000 with debug logs; start again when a .py file changes
echo   --setup    set up and stop
echo   --test     set up, check format, lint and types, run the tests;
echo              with arguments after --, run only pytest with them
exit /b 0
